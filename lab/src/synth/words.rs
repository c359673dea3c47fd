//! From a step's words to what it looks like: the action, the thing in hand, the vessel, the tool.

use super::lexicon::{self, Noun, Shape, Thing, Tool, Vessel};

/// How a thing is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As it is.
    Whole,
    /// In slices.
    Slices,
    /// In small pieces.
    Pieces,
}

/// What the hands do: one look of motion for each class of verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its verb")]
pub enum Action {
    Cut,
    Slice,
    Chop,
    Tear,
    Grate,
    Spiralize,
    Peel,
    Stir,
    Whisk,
    Pour,
    Drizzle,
    Add,
    Place,
    Sprinkle,
    Microwave,
    Heat,
    Cook,
    Boil,
    Flip,
    Rinse,
    Drain,
    Pat,
    Roll,
    Fold,
    Spread,
    Measure,
    Weigh,
    Wait,
    Transfer,
    Crack,
    Discard,
    Take,
    Open,
    Squeeze,
    Cover,
    Blend,
    Grind,
    Secure,
    Seal,
    Check,
    Knob,
    Lift,
    Remove,
    Invert,
    Snip,
    /// A verb that is not known; the number tells such verbs apart.
    Handle(u8),
}

/// Verbs (as their first letters) and their actions; earlier entries win.
#[rustfmt::skip]
pub(super) const VERBS: &[(&str, Action)] = &[
    ("microwav", Action::Microwave), ("spiraliz", Action::Spiralize), ("slic", Action::Slice), ("chop", Action::Chop), ("minc", Action::Chop), ("dice", Action::Chop), ("cut", Action::Cut), ("halv", Action::Cut), ("carv", Action::Cut), ("trim", Action::Cut),
    ("tear", Action::Tear), ("break", Action::Tear), ("grat", Action::Grate), ("shred", Action::Grate), ("zest", Action::Grate), ("peel", Action::Peel), ("pull", Action::Remove), ("pluck", Action::Remove),
    ("whisk", Action::Whisk), ("beat", Action::Whisk), ("stir", Action::Stir), ("mix", Action::Stir), ("combin", Action::Stir), ("toss", Action::Stir), ("fold", Action::Fold), ("prepar", Action::Fold),
    ("pour", Action::Pour), ("fill", Action::Pour), ("drizzl", Action::Drizzle), ("splash", Action::Drizzle), ("add", Action::Add), ("put", Action::Add), ("top", Action::Add), ("spoon", Action::Transfer), ("place", Action::Place), ("lay", Action::Place), ("line", Action::Place), ("replac", Action::Place), ("return", Action::Place), ("set", Action::Place), ("arrang", Action::Place), ("insert", Action::Place), ("attach", Action::Place),
    ("sprinkl", Action::Sprinkle), ("season", Action::Sprinkle), ("garnish", Action::Sprinkle), ("dust", Action::Sprinkle), ("heat", Action::Heat), ("warm", Action::Heat), ("melt", Action::Heat), ("preheat", Action::Heat), ("cook", Action::Cook), ("saut", Action::Cook), ("fry", Action::Cook), ("toast", Action::Cook), ("roast", Action::Cook), ("grill", Action::Cook), ("bake", Action::Microwave), ("brown", Action::Cook), ("simmer", Action::Boil), ("boil", Action::Boil), ("steam", Action::Boil),
    ("flip", Action::Flip), ("turn", Action::Flip), ("rins", Action::Rinse), ("wash", Action::Rinse), ("thaw", Action::Rinse), ("clean", Action::Rinse), ("drain", Action::Drain), ("strain", Action::Drain), ("pat", Action::Pat), ("dry", Action::Pat), ("wipe", Action::Pat), ("roll", Action::Roll), ("wrap", Action::Roll), ("spread", Action::Spread), ("coat", Action::Spread), ("brush", Action::Spread), ("greas", Action::Spread), ("butter", Action::Spread),
    ("measur", Action::Measure), ("weigh", Action::Weigh), ("wait", Action::Wait), ("let", Action::Wait), ("allow", Action::Wait), ("cool", Action::Wait), ("rest", Action::Wait), ("stop", Action::Wait), ("transfer", Action::Transfer), ("serv", Action::Transfer), ("scoop", Action::Transfer), ("mov", Action::Transfer), ("crack", Action::Crack), ("discard", Action::Discard), ("throw", Action::Discard), ("dispos", Action::Discard), ("take", Action::Take), ("pick", Action::Take), ("get", Action::Take), ("grab", Action::Take), ("gather", Action::Take), ("open", Action::Open), ("unscrew", Action::Open), ("screw", Action::Open),
    ("squeez", Action::Squeeze), ("extract", Action::Squeeze), ("press", Action::Squeeze), ("cover", Action::Cover), ("clos", Action::Cover), ("blitz", Action::Blend), ("blend", Action::Blend), ("puree", Action::Blend), ("grind", Action::Grind), ("secur", Action::Secure), ("seal", Action::Seal), ("zip", Action::Seal), ("check", Action::Check), ("inspect", Action::Check), ("test", Action::Check), ("remov", Action::Remove), ("detach", Action::Remove), ("invert", Action::Invert), ("snip", Action::Snip), ("continu", Action::Cook), ("keep", Action::Stir),
];

/// Words that stand between what is handled and where it goes.
const TOWARDS: [&str; 16] = [
    "to",
    "into",
    "in",
    "on",
    "onto",
    "over",
    "from",
    "at",
    "inside",
    "under",
    "around",
    "through",
    "of",
    "throughout",
    "out",
    "as",
];
/// Words that are no nouns of their own; an unknown word outside this list and the verbs is a noun.
#[rustfmt::skip]
const SMALL: &[&str] = &[
    "a", "an", "the", "about", "into", "inch", "thick", "thin", "small", "large", "medium", "ripe", "big", "little", "tiny", "half", "halves", "quarter", "piece", "pieces", "slice", "slices", "sliced", "chopped", "minced", "cut", "grated", "shredded", "cup", "cups", "ounce", "ounces", "oz", "lb", "gram", "g", "ml", "inches", "teaspoons", "tablespoons", "tbsp", "tsp", "one", "two", "three", "four", "five", "minute", "minutes", "min", "mins", "second", "seconds", "sec", "until", "with", "and", "or", "then", "to", "in", "on", "of", "for", "from", "over", "it", "its", "is", "are", "be", "just", "gently", "slowly", "carefully", "briefly", "well", "more", "additional", "again", "dry", "fresh", "softened", "peeled", "rinsed", "drained", "cooked", "cold", "hot", "warm", "open", "up", "out", "off", "down", "top", "bottom", "side", "sides", "both", "all", "each", "other", "rest", "remaining", "entire", "single", "layer", "large", "high", "low", "heat", "between", "stirring", "often", "if", "desired", "needed", "taste", "by", "using", "use", "without", "when", "while", "so", "that", "this", "as", "at", "most", "almost", "no", "not", "you", "your", "extra", "virgin", "cube", "cubes", "circle", "form", "create", "end", "another", "number", "strip", "strips", "clove", "cloves", "leaves", "batch", "amount", "bit", "bits", "block", "tightly", "evenly", "onto", "around", "through", "inside", "aside", "next", "first", "last", "step", "size", "bite", "non", "stick", "heavy", "bottomed", "nonstick", "safe", "power", "away", "together", "whisked", "mixing", "serving", "heaped", "chilled", "smooth", "good", "finely", "roughly", "pinch", "drizzle", "log", "shape", "short", "dark", "white", "color", "colour", "they", "them", "their", "there", "any", "some", "until", "before", "after", "during", "time", "excess", "lid", "everything",
];

/// What a step looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What the hands do.
    pub action: Action,
    /// What they do it with or to.
    pub thing: Option<Thing>,
    /// How that is cut already.
    pub form: Form,
    /// A second thing: what the first goes onto, or what is mixed with it.
    pub other: Option<Thing>,
    /// A vessel that is itself what is handled.
    pub carried: Option<Vessel>,
    /// Where it happens.
    pub vessel: Vessel,
    /// Where things go, when that is another place than `vessel`.
    pub target: Vessel,
    /// What the hand holds.
    pub tool: Tool,
    /// Strength of the flame, 0 to 1.
    pub flame: f32,
    /// A lid or cover is named.
    pub covered: bool,
    /// Somebody stirs meanwhile.
    pub stirred: bool,
}

/// Stands for a number among the words.
const NUMBER: &str = "#";

/// Lower-case words of a text; numbers and fractions become [`NUMBER`].
fn words(text: &str) -> Vec<String> {
    let split = |c: char| !(c.is_alphanumeric() || c == '/');
    let mut words: Vec<String> = Vec::new();
    for word in text.to_lowercase().split(split).filter(|w| !w.is_empty()) {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            words.push(NUMBER.to_owned());
        } else {
            words.extend(word.split('/').filter(|w| !w.is_empty()).map(str::to_owned));
        }
    }
    words
}

/// A crude singular: enough for the lexicon's nouns.
fn singular(word: &str) -> String {
    for (end, instead) in [
        ("leaves", "leaf"),
        ("berries", "berry"),
        ("ies", "ie"),
        ("shes", "sh"),
        ("ches", "ch"),
        ("oes", "o"),
    ] {
        if let Some(stem) = word.strip_suffix(end) {
            return format!("{stem}{instead}");
        }
    }
    match word.strip_suffix('s') {
        Some(stem)
            if !stem.ends_with('s')
                && stem.len() > 2
                && !matches!(word, "molasses" | "scissors" | "contents") =>
        {
            stem.to_owned()
        }
        _ => word.to_owned(),
    }
}

/// A noun in the text: where it stands and what it is.
struct PlacedNoun {
    at: usize,
    noun: Noun,
}

impl PlacedNoun {
    fn thing(&self) -> Option<Thing> {
        match self.noun {
            Noun::Thing(thing) => Some(thing),
            _ => None,
        }
    }

    fn vessel(&self) -> Option<Vessel> {
        match self.noun {
            Noun::Vessel(vessel) => Some(vessel),
            _ => None,
        }
    }

    fn tool(&self) -> Option<Tool> {
        match self.noun {
            Noun::Tool(tool) => Some(tool),
            _ => None,
        }
    }
}

fn nouns(words: &[String]) -> Vec<PlacedNoun> {
    let single: Vec<String> = words.iter().map(|w| singular(w)).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let longest = (1..=lexicon::WORDS_MAX.min(words.len() - at))
            .rev()
            .find_map(|count| {
                let phrase = |last: &str| {
                    let mut all: Vec<&str> = words[at..at + count - 1]
                        .iter()
                        .map(String::as_str)
                        .collect();
                    all.push(last);
                    lexicon::find(&all.join(" "))
                };
                phrase(&single[at + count - 1])
                    .or_else(|| phrase(&words[at + count - 1]))
                    .map(|noun| (count, noun))
            });
        match longest {
            // At the start it is the verb: "top", "spoon", "butter". "1 cup of": a measure, no
            // vessel.
            Some((1, _)) if at == 0 && verb_action(&words[0]).is_some() => at += 1,
            Some((1, _)) if at > 0 && words[at - 1] == NUMBER && single[at] == "cup" => at += 1,
            // "a can of tuna", "the contents of an egg": what is in it counts.
            Some((1, _)) if HOLDERS.contains(&single[at].as_str()) && names_content(words, at) => {
                at += 1
            }
            Some((count, noun)) => {
                found.push(PlacedNoun { at, noun });
                at += count;
            }
            None => at += 1,
        }
    }
    found
}

/// Words for what holds or makes up something that may be named right after.
const HOLDERS: [&str; 6] = ["can", "contents", "content", "package", "packet", "knob"];

/// Whether a thing's name follows within a few words.
fn names_content(words: &[String], holder: usize) -> bool {
    const NEAR: usize = 4;
    let after = &words[holder + 1..(holder + NEAR).min(words.len())];
    let until_there = after
        .iter()
        .take_while(|w| !matches!(w.as_str(), "to" | "into" | "on" | "in" | "from" | "with"));
    until_there
        .into_iter()
        .any(|w| matches!(lexicon::find(&singular(w)), Some(Noun::Thing(_))))
}

fn verb_action(word: &str) -> Option<Action> {
    VERBS
        .iter()
        .find(|(stem, _)| word.starts_with(stem))
        .map(|v| v.1)
}

/// The object right after the verb, if the lexicon lacks it: it gets a look of its own.
fn unknown_noun(words: &[String], from: usize) -> Option<(usize, Thing)> {
    let ends = |w: &str| {
        TOWARDS.contains(&w) && w != "of"
            || matches!(
                w,
                "for" | "until" | "or" | "while" | "when" | "with" | "by" | "till" | "so"
            )
    };
    let strange = |w: &str| {
        w.len() > 2 && !SMALL.contains(&w) && verb_action(w).is_none() && !w.ends_with("ly")
    };
    let object = words.get(from..)?.iter().take_while(|w| !ends(w));
    let at = from + object.enumerate().filter(|(_, w)| strange(w)).last()?.0;
    Some((at, lexicon::unknown(&singular(&words[at]))))
}

/// What a step of this name looks like.
pub fn look(name: &str) -> Look {
    let words = words(name);
    let (verb_at, verb) = first_verb(&words);
    let nouns = nouns(&words);
    let things: Vec<(usize, Thing)> = nouns
        .iter()
        .filter_map(|f| f.thing().map(|t| (f.at, t)))
        .collect();
    let vessels: Vec<(usize, Vessel)> = nouns
        .iter()
        .filter_map(|f| f.vessel().map(|v| (f.at, v)))
        .collect();
    let (thing, other) = objects(&words, verb_at, verb, &things, !vessels.is_empty());
    let thing = thing.map(|(at, t)| (at, as_prepared(t, &words)));
    let action = adjust(verb, &words, thing.map(|t| t.1));
    let (vessel, target) = places(action, &words, &vessels, [thing.map(|t| t.1), other]);
    // "Place the dripper on the mug": a vessel is what is carried.
    let carried = match (action, vessels.as_slice()) {
        (Action::Place | Action::Take | Action::Rinse, [(_, first), _, ..]) if thing.is_none() => {
            Some(*first)
        }
        (Action::Take | Action::Rinse | Action::Pat, [(_, one)]) if thing.is_none() => Some(*one),
        _ => None,
    };
    let has = |w: &str| words.iter().any(|x| x.starts_with(w));
    Look {
        action,
        thing: thing.map(|t| t.1),
        form: thing.map_or(Form::Whole, |t| form(&words, t.0)),
        other,
        carried,
        vessel,
        target,
        tool: nouns
            .iter()
            .filter(|f| f.at != verb_at)
            .find_map(PlacedNoun::tool)
            .unwrap_or_else(|| usual_tool(action, name)),
        flame: if has("low") {
            0.35
        } else if has("high") {
            1.0
        } else {
            0.65
        },
        covered: has("covered") || has("cover") && verb == Action::Cover || has("lid"),
        stirred: has("stirring")
            || has("tossing")
            || has("saut")
            || words.windows(2).any(|w| w[0] == "mixing" && w[1] != "bowl"),
    }
}

/// What is handled, with its place among the words, and what it goes onto or together with.
fn objects(
    words: &[String],
    verb_at: usize,
    verb: Action,
    things: &[(usize, Thing)],
    has_vessel: bool,
) -> (Option<(usize, Thing)>, Option<Thing>) {
    let towards = (verb_at + 1..words.len()).find(|i| {
        TOWARDS.contains(&words[*i].as_str()) && !matches!(words[*i].as_str(), "of" | "out")
    });
    // "Season the tomato with salt": what follows "with" is in the hand.
    let with = words.iter().position(|w| w == "with" || w == "using");
    let with_thing = with.and_then(|w| things.iter().find(|t| t.0 > w).copied());
    let with_is_handled = matches!(
        verb,
        Action::Sprinkle
            | Action::Spread
            | Action::Add
            | Action::Cover
            | Action::Drizzle
            | Action::Place
    );
    let before = |t: &&(usize, Thing)| {
        towards.is_none_or(|p| t.0 < p) && Some(t.0) != with_thing.map(|w| w.0)
    };
    let direct = things.iter().find(before).copied();
    // Fruit is squeezed, not its juice.
    let solid = things
        .iter()
        .find(|t| {
            verb == Action::Squeeze && matches!(t.1.shape, Shape::Half | Shape::Ball | Shape::Egg)
        })
        .copied();
    let named = if with_is_handled {
        with_thing.or(direct)
    } else {
        solid.or(direct).or(with_thing)
    };
    let thing = named
        .or_else(|| things.first().copied())
        .or_else(|| unknown_noun(words, verb_at + 1).filter(|_| !has_vessel));
    let other = things
        .iter()
        .find(|t| Some(t.0) != thing.map(|h| h.0))
        .map(|t| t.1);
    (thing, other)
}

/// Where it happens, and where things go.
fn places(
    action: Action,
    words: &[String],
    vessels: &[(usize, Vessel)],
    things: [Option<Thing>; 2],
) -> (Vessel, Vessel) {
    let coffee = |t: &Thing| t.shape == Shape::Cone || *t == lexicon::COFFEE_GROUNDS;
    let usual = || match action {
        Action::Pour if things[1].as_ref().is_some_and(coffee) => Vessel::Dripper,
        Action::Lift if words.iter().any(|w| w == "aside") => match things[0] {
            Some(Thing {
                shape: Shape::Cup, ..
            }) => Vessel::Mug,
            _ => Vessel::Bowl,
        },
        _ => usual_vessel(action, things[1]),
    };
    let last = vessels.last().map_or_else(usual, |v| v.1);
    match action {
        Action::Transfer => match vessels {
            [(_, from), .., (_, to)] => (*from, *to),
            [(at, one)] if words[..*at].iter().any(|w| w == "from") => (*one, Vessel::Plate),
            [(_, to @ (Vessel::Plate | Vessel::Platter))] => (Vessel::Pan, *to),
            [(_, to)] => (Vessel::Bowl, *to),
            [] => (Vessel::Pan, Vessel::Plate),
        },
        Action::Microwave => {
            let inside = vessels
                .iter()
                .map(|v| v.1)
                .find(|v| *v != Vessel::Microwave);
            (Vessel::Microwave, inside.unwrap_or(Vessel::Bowl))
        }
        _ => (last, last),
    }
}

/// "whisked eggs" are no eggs any more.
fn as_prepared(thing: Thing, words: &[String]) -> Thing {
    let beaten = words.iter().any(|w| w == "whisked" || w == "beaten");
    if beaten && thing.shape == Shape::Egg {
        lexicon::EGG_MIXTURE
    } else {
        thing
    }
}

/// Words that begin like a verb and are none.
#[rustfmt::skip]
const NEVER_VERBS: &[&str] = &[
    "lettuce", "batter", "paper", "pepper", "package", "packet", "dripper", "topping", "spoonful", "spoonfuls", "platter", "plate", "peeler", "grater", "blender", "grinder", "kettle", "filling", "tops", "sides", "sets", "opening", "cover", "serving", "mixing", "boiling", "cutting", "baking", "cooking", "covered", "toaster", "cooker", "patty", "mixture", "mixer", "brownie", "rollers", "getting",
];
/// Words that are a verb only where the step begins: "Top the …", but "the top".
const VERBS_AT_START: [&str; 17] = [
    "top",
    "line",
    "open",
    "let",
    "toast",
    "butter",
    "heat",
    "drizzle",
    "place",
    "spoon",
    "rest",
    "brush",
    "microwave",
    "cover",
    "cut",
    "mixing",
    "cooking",
];

/// The verb that names the action: the first that is known. "In a bowl, add …", "Slowly pour …": it
/// may come late.
fn first_verb(words: &[String]) -> (usize, Action) {
    let at_start = |i: usize| {
        i == 0
            || matches!(
                words[i - 1].as_str(),
                "to" | "keep" | "continue" | "gently" | "then" | "and" | NUMBER
            )
    };
    let is_verb = |i: usize, w: &str| {
        let participle = w.len() > 4 && w.ends_with("ed");
        !participle
            && if VERBS_AT_START.contains(&w) {
                at_start(i)
            } else {
                !NEVER_VERBS.contains(&w)
            }
    };
    // "Use scissors to cut": the tool's verb; "pat … dry": the first.
    let known = words
        .iter()
        .enumerate()
        .find_map(|(i, w)| verb_action(w).filter(|_| is_verb(i, w)).map(|a| (i, a)));
    known.unwrap_or_else(|| {
        let hash = proact::rng::hash_text(words.first().map_or("", String::as_str));
        (0, Action::Handle((hash % HANDLES) as u8))
    })
}

/// Kinds of motion for verbs that are not known.
const HANDLES: u64 = 8;

/// Second thoughts on the action, from the rest of the words.
fn adjust(action: Action, words: &[String], thing: Option<Thing>) -> Action {
    let has = |w: &str| words.iter().any(|x| x == w);
    let shape = thing.map(|t| t.shape);
    match action {
        Action::Heat | Action::Cook if has("microwave") || has("microwaving") => Action::Microwave,
        Action::Flip | Action::Place if has("heat") || has("stove") || has("burner") => {
            Action::Knob
        }
        Action::Remove if has("heat") => Action::Lift,
        Action::Cover if has("water") => Action::Pour,
        Action::Transfer if has("water") || has("kettle") => Action::Pour,
        Action::Place if has("aside") => Action::Lift,
        Action::Pour | Action::Squeeze
            if shape == Some(Shape::Egg) && !has("whisked") && !has("beaten") =>
        {
            Action::Crack
        }
        Action::Cut if has("scissors") => Action::Snip,
        Action::Add if has("drizzle") => Action::Drizzle,
        Action::Wait if has("drain") => Action::Drain,
        Action::Roll if has("around") => Action::Stir,
        other => other,
    }
}

fn usual_vessel(action: Action, other: Option<Thing>) -> Vessel {
    match action {
        Action::Cut | Action::Slice | Action::Chop | Action::Tear | Action::Roll => Vessel::Board,
        Action::Heat | Action::Cook | Action::Flip | Action::Knob | Action::Lift => Vessel::Pan,
        Action::Boil => Vessel::Kettle,
        Action::Rinse | Action::Drain => Vessel::Sink,
        Action::Microwave => Vessel::Microwave,
        Action::Blend => Vessel::Blender,
        Action::Grind => Vessel::Grinder,
        Action::Weigh => Vessel::Scale,
        Action::Measure => Vessel::Measure,
        Action::Discard => Vessel::Bin,
        Action::Seal | Action::Snip => Vessel::Bag,
        Action::Spiralize => Vessel::Spiralizer,
        Action::Grate => Vessel::Board,
        Action::Invert | Action::Secure => Vessel::Plate,
        Action::Place | Action::Spread | Action::Drizzle | Action::Sprinkle if other.is_some() => {
            Vessel::Plate
        }
        Action::Place | Action::Peel | Action::Take | Action::Open | Action::Fold | Action::Pat => {
            Vessel::Worktop
        }
        _ => Vessel::Bowl,
    }
}

fn usual_tool(action: Action, name: &str) -> Tool {
    let name = name.to_lowercase();
    match action {
        Action::Cut | Action::Slice | Action::Chop => Tool::Knife,
        Action::Grate => Tool::Grater,
        Action::Peel => Tool::Peeler,
        Action::Stir | Action::Cook => Tool::Spoon,
        Action::Whisk => Tool::Whisk,
        Action::Flip | Action::Transfer => Tool::Spatula,
        Action::Spread => Tool::Brush,
        Action::Check => Tool::Thermometer,
        Action::Secure => Tool::Toothpick,
        Action::Pat => Tool::Towel,
        Action::Snip => Tool::Scissors,
        Action::Add if name.contains(" cup ") && name.contains(|c: char| c.is_ascii_digit()) => {
            Tool::MeasuringCup
        }
        _ => Tool::Hand,
    }
}

/// How the thing at this place is cut, from the words around it.
fn form(words: &[String], at: usize) -> Form {
    let near = &words[at.saturating_sub(3)..(at + 3).min(words.len())];
    let before = &words[at.saturating_sub(3)..at];
    if before.iter().any(|w| {
        matches!(
            w.as_str(),
            "chopped" | "minced" | "diced" | "grated" | "shredded"
        )
    }) {
        return Form::Pieces;
    }
    let first = words.first().map(String::as_str);
    if first != Some("slice")
        && first != Some("cut")
        && near.iter().any(|w| {
            matches!(
                w.as_str(),
                "slices" | "sliced" | "halves" | "strips" | "cut"
            )
        })
    {
        return Form::Slices;
    }
    Form::Whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(noun: &str) -> Thing {
        match lexicon::find(noun) {
            Some(Noun::Thing(thing)) => thing,
            other => panic!("{noun}: {other:?}"),
        }
    }

    #[test]
    fn looks_follow_from_the_words() {
        #[rustfmt::skip]
        let cases: &[(&str, Action, Option<&str>, Vessel)] = &[
            ("Slice one tomato into about 1/2 inch thick slices", Action::Slice, Some("tomato"), Vessel::Board),
            ("Season the tomato slices with salt", Action::Sprinkle, Some("salt"), Vessel::Plate),
            ("Slowly pour the rest of the water over the grounds", Action::Pour, Some("water"), Vessel::Dripper),
            ("In a bowl, add the cut cherry tomatoes", Action::Add, Some("cherry tomato"), Vessel::Bowl),
            ("Pour 1 egg into the ramekin cup", Action::Crack, Some("egg"), Vessel::Ramekin),
            ("Slowly pour the whisked eggs into the pan", Action::Pour, Some("egg mixture"), Vessel::Pan),
            ("Cut 1/4 cup of cherry tomatoes into halves", Action::Cut, Some("cherry tomato"), Vessel::Board),
            ("Melt the cheese by microwaving cup for 30 sec", Action::Microwave, Some("cheese"), Vessel::Microwave),
            ("Turn on the heat to medium", Action::Knob, None, Vessel::Pan),
            ("Remove from heat", Action::Lift, None, Vessel::Pan),
            ("Open a can of tuna", Action::Open, Some("tuna"), Vessel::Worktop),
            ("Extract lime juice from 1/3 lime", Action::Squeeze, Some("lime"), Vessel::Bowl),
            ("Cover the noodles with water", Action::Pour, Some("water"), Vessel::Bowl),
            ("Use scissors to cut one corner from the bag", Action::Snip, None, Vessel::Bag),
            ("Cook for 2 minutes or until the zoodles are done", Action::Cook, Some("zoodle"), Vessel::Pan),
        ];
        for (name, action, noun, vessel) in cases {
            let look = look(name);
            assert_eq!((look.action, look.vessel), (*action, *vessel), "{name}");
            assert_eq!(look.thing, noun.map(thing), "{name}");
        }
    }

    #[test]
    fn tools_forms_and_carried_vessels_are_seen() {
        assert_eq!(
            look("Add 1/4 tsp salt to a bowl").tool,
            Tool::MeasuringSpoon
        );
        assert_eq!(
            look("Add 1/8 cup soy sauce to the bowl").tool,
            Tool::MeasuringCup
        );
        assert_eq!(
            look("In the mug, whisk one egg with a fork").tool,
            Tool::Fork
        );
        assert_eq!(look("Add chopped shallot to the pan").form, Form::Pieces);
        assert_eq!(look("Place avocado slices on each leaf").form, Form::Slices);
        assert_eq!(
            look("Place the dripper on top of a coffee mug").carried,
            Some(Vessel::Dripper)
        );
        assert!(look("Microwave the bowl, covered, for 2 minutes").covered);
        assert!(!look("Microwave the cup uncovered").covered);
        let transfer = look("Transfer the grounds to the filter cone");
        assert_eq!(
            (transfer.vessel, transfer.target),
            (Vessel::Bowl, Vessel::Dripper)
        );
    }

    #[test]
    fn unknown_words_have_looks_of_their_own() {
        let (a, b) = (look("Frobnicate the gizmo"), look("Frobnicate the widget"));
        assert!(matches!(a.action, Action::Handle(_)) && a.action == b.action);
        assert_ne!(a.thing, b.thing);
        assert!(a.thing.is_some());
        for odd in ["", "  ", "1 2 3", "…", "the the the"] {
            look(odd);
        }
    }
}
