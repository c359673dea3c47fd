//! From a step's words to what it looks like: the action, the thing in hand, the vessel, the tool.

use super::lexicon::{self, Noun, Thing, Tool, Vessel};

/// Words of a step's name at most.
const NAME_WORDS_MAX: usize = 14;
/// Words at most before the dash of CaptainCook4D's `Verb-Text`.
const VERB_WORDS_MAX: usize = 3;

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
const VERBS: &[(&str, Action)] = &[
    ("microwav", Action::Microwave), ("spiraliz", Action::Spiralize), ("slic", Action::Slice), ("chop", Action::Chop), ("minc", Action::Chop), ("dice", Action::Chop), ("cut", Action::Cut), ("halv", Action::Cut), ("carv", Action::Cut), ("trim", Action::Cut),
    ("tear", Action::Tear), ("break", Action::Tear), ("grat", Action::Grate), ("shred", Action::Grate), ("zest", Action::Grate), ("peel", Action::Peel), ("pull", Action::Peel), ("pluck", Action::Peel),
    ("whisk", Action::Whisk), ("beat", Action::Whisk), ("stir", Action::Stir), ("mix", Action::Stir), ("combin", Action::Stir), ("toss", Action::Stir), ("fold", Action::Fold), ("prepar", Action::Fold),
    ("pour", Action::Pour), ("fill", Action::Pour), ("drizzl", Action::Drizzle), ("splash", Action::Drizzle), ("add", Action::Add), ("put", Action::Add), ("top", Action::Add), ("spoon", Action::Transfer), ("place", Action::Place), ("lay", Action::Place), ("line", Action::Place), ("replac", Action::Place), ("return", Action::Place), ("set", Action::Place), ("arrang", Action::Place), ("insert", Action::Place), ("attach", Action::Place),
    ("sprinkl", Action::Sprinkle), ("season", Action::Sprinkle), ("garnish", Action::Sprinkle), ("dust", Action::Sprinkle), ("heat", Action::Heat), ("warm", Action::Heat), ("melt", Action::Heat), ("preheat", Action::Heat), ("cook", Action::Cook), ("saut", Action::Cook), ("fry", Action::Cook), ("toast", Action::Cook), ("roast", Action::Cook), ("grill", Action::Cook), ("bake", Action::Microwave), ("brown", Action::Cook), ("simmer", Action::Boil), ("boil", Action::Boil), ("steam", Action::Boil),
    ("flip", Action::Flip), ("turn", Action::Flip), ("rins", Action::Rinse), ("wash", Action::Rinse), ("thaw", Action::Rinse), ("clean", Action::Rinse), ("drain", Action::Drain), ("strain", Action::Drain), ("pat", Action::Pat), ("dry", Action::Pat), ("wipe", Action::Pat), ("roll", Action::Roll), ("wrap", Action::Roll), ("spread", Action::Spread), ("coat", Action::Spread), ("brush", Action::Spread), ("greas", Action::Spread), ("butter", Action::Spread),
    ("measur", Action::Measure), ("weigh", Action::Weigh), ("wait", Action::Wait), ("let", Action::Wait), ("allow", Action::Wait), ("cool", Action::Wait), ("rest", Action::Wait), ("stop", Action::Wait), ("transfer", Action::Transfer), ("serv", Action::Transfer), ("scoop", Action::Transfer), ("mov", Action::Transfer), ("crack", Action::Crack), ("discard", Action::Discard), ("throw", Action::Discard), ("dispos", Action::Discard), ("take", Action::Take), ("pick", Action::Take), ("get", Action::Take), ("grab", Action::Take), ("gather", Action::Take), ("open", Action::Open), ("unscrew", Action::Open), ("screw", Action::Open),
    ("squeez", Action::Squeeze), ("extract", Action::Squeeze), ("press", Action::Squeeze), ("cover", Action::Cover), ("clos", Action::Cover), ("blitz", Action::Blend), ("blend", Action::Blend), ("puree", Action::Blend), ("grind", Action::Grind), ("secur", Action::Secure), ("seal", Action::Seal), ("zip", Action::Seal), ("check", Action::Check), ("inspect", Action::Check), ("test", Action::Check), ("remov", Action::Remove), ("detach", Action::Remove), ("invert", Action::Invert), ("snip", Action::Snip), ("continu", Action::Cook), ("keep", Action::Stir),
];

/// Words that stand between what is handled and where it goes.
const TOWARDS: [&str; 16] =
    ["to", "into", "in", "on", "onto", "over", "from", "at", "inside", "under", "around", "through", "of", "throughout", "out", "as"];
/// Words that are no nouns of their own; an unknown word outside this list and the verbs is a noun.
#[rustfmt::skip]
const SMALL: &[&str] = &[
    "a", "an", "the", "about", "into", "inch", "thick", "thin", "small", "large", "medium", "ripe", "big", "little", "tiny", "half", "halves", "quarter", "piece", "pieces", "slice", "slices", "sliced", "chopped", "minced", "cut", "grated", "shredded", "cup", "cups", "ounce", "ounces", "oz", "lb", "gram", "g", "ml", "inches", "teaspoons", "tablespoons", "tbsp", "tsp", "one", "two", "three", "four", "five", "minute", "minutes", "min", "mins", "second", "seconds", "sec", "until", "with", "and", "or", "then", "to", "in", "on", "of", "for", "from", "over", "it", "its", "is", "are", "be", "just", "gently", "slowly", "carefully", "briefly", "well", "more", "additional", "again", "dry", "fresh", "softened", "peeled", "rinsed", "drained", "cooked", "cold", "hot", "warm", "open", "up", "out", "off", "down", "top", "bottom", "side", "sides", "both", "all", "each", "other", "rest", "remaining", "entire", "single", "layer", "large", "high", "low", "heat", "between", "stirring", "often", "if", "desired", "needed", "taste", "by", "using", "use", "without", "when", "while", "so", "that", "this", "as", "at", "most", "almost", "no", "not", "you", "your", "extra", "virgin", "cube", "cubes", "circle", "form", "create", "end", "another", "number", "strip", "strips", "clove", "cloves", "leaves", "batch", "amount", "bit", "bits", "block", "tightly", "evenly", "onto", "around", "through", "inside", "aside", "next", "first", "last", "step", "size", "bite", "non", "stick", "heavy", "bottomed", "nonstick", "safe", "power", "away", "together", "whisked", "mixing", "serving", "heaped", "chilled", "smooth", "good", "finely", "roughly", "pinch", "drizzle", "log", "shape", "short", "dark", "white", "color", "colour", "they", "them", "their", "there", "any", "some", "until", "before", "after", "during", "time", "excess",
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

/// Lower-case words of a text; digits and fractions are left out.
fn words(text: &str) -> Vec<String> {
    let split = |c: char| !(c.is_alphanumeric() || c == '/');
    text.to_lowercase()
        .split(split)
        .filter(|w| !w.is_empty() && !w.starts_with(|c: char| c.is_ascii_digit()))
        .flat_map(|w| w.split('/').map(str::to_owned).collect::<Vec<_>>())
        .filter(|w| !w.is_empty())
        .collect()
}

/// A crude singular: enough for the lexicon's nouns.
fn singular(word: &str) -> String {
    for (end, instead) in [("leaves", "leaf"), ("berries", "berry"), ("ies", "ie"), ("shes", "sh"), ("ches", "ch"), ("oes", "o")] {
        if let Some(stem) = word.strip_suffix(end) {
            return format!("{stem}{instead}");
        }
    }
    match word.strip_suffix('s') {
        Some(stem) if !stem.ends_with('s') && stem.len() > 2 && !matches!(word, "molasses" | "scissors" | "contents") => stem.to_owned(),
        _ => word.to_owned(),
    }
}

/// A noun in the text: where it stands and what it is.
struct Found {
    at: usize,
    noun: Noun,
}

fn nouns(words: &[String]) -> Vec<Found> {
    let single: Vec<String> = words.iter().map(|w| singular(w)).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let longest = (1..=lexicon::WORDS_MAX.min(words.len() - at)).rev().find_map(|count| {
            let phrase = |last: &str| {
                let mut all: Vec<&str> = words[at..at + count - 1].iter().map(String::as_str).collect();
                all.push(last);
                lexicon::find(&all.join(" "))
            };
            phrase(&single[at + count - 1]).or_else(|| phrase(&words[at + count - 1])).map(|noun| (count, noun))
        });
        match longest {
            // At the start it is the verb: "top", "spoon", "butter".
            Some((1, _)) if at == 0 && verb_action(&words[0]).is_some() => at += 1,
            Some((count, noun)) => {
                found.push(Found { at, noun });
                at += count;
            }
            None => at += 1,
        }
    }
    found
}

fn verb_action(word: &str) -> Option<Action> {
    VERBS.iter().find(|(stem, _)| word.starts_with(stem)).map(|v| v.1)
}

/// Whether a word after the verb is worth a look of its own although the lexicon lacks it.
fn unknown_noun(words: &[String], from: usize) -> Option<(usize, Thing)> {
    let strange = |w: &str| w.len() > 2 && !SMALL.contains(&w) && !TOWARDS.contains(&w) && verb_action(w).is_none() && !w.ends_with("ly");
    let at = (from..words.len()).find(|i| strange(&words[*i]))?;
    Some((at, lexicon::unknown(&singular(&words[at]))))
}

/// What a step of this name looks like.
pub fn look(name: &str) -> Look {
    let words = words(name);
    let (verb_at, action) = first_verb(&words);
    let nouns = nouns(&words);
    let towards = words.iter().enumerate().find(|(i, w)| *i > verb_at && TOWARDS.contains(&w.as_str()) && *w != "of" && *w != "out").map(|w| w.0);
    let with = words.iter().position(|w| w == "with" || w == "using");
    let things: Vec<(usize, Thing)> = nouns
        .iter()
        .filter_map(|f| match f.noun {
            Noun::Thing(thing) => Some((f.at, thing)),
            _ => None,
        })
        .collect();
    let vessels: Vec<(usize, Vessel)> = nouns
        .iter()
        .filter_map(|f| match f.noun {
            Noun::Vessel(vessel) => Some((f.at, vessel)),
            _ => None,
        })
        .collect();
    let tool = nouns.iter().find_map(|f| match f.noun {
        Noun::Tool(tool) => Some(tool),
        _ => None,
    });
    // "Season the tomato with salt": what follows "with" is in the hand.
    let with_thing = with.and_then(|w| things.iter().find(|t| t.0 > w).copied());
    let handled_is_with = matches!(action, Action::Sprinkle | Action::Spread | Action::Add | Action::Cover | Action::Drizzle | Action::Place);
    let direct = things.iter().find(|t| towards.is_none_or(|p| t.0 < p || p == 0) && Some(t.0) != with_thing.map(|w| w.0)).copied();
    let mut thing = if handled_is_with { with_thing.or(direct) } else { direct.or(with_thing) };
    if thing.is_none() {
        thing = things.first().copied().or_else(|| unknown_noun(&words, verb_at + 1).filter(|_| vessels.is_empty()));
    }
    let other = things.iter().find(|t| Some(t.0) != thing.map(|h| h.0)).map(|t| t.1);
    let action = adjust(action, &words, thing.map(|t| t.1), &vessels);
    let vessel = vessels.last().map_or_else(|| usual_vessel(action, other), |v| v.1);
    let (vessel, target) = match action {
        Action::Transfer => match vessels.as_slice() {
            [(_, from), .., (_, to)] => (*from, *to),
            [(at, one)] if words[..*at].iter().any(|w| w == "from") => (*one, Vessel::Plate),
            [(_, one)] => (Vessel::Pan, *one),
            [] => (Vessel::Pan, Vessel::Plate),
        },
        Action::Microwave => (Vessel::Microwave, vessels.iter().map(|v| v.1).find(|v| *v != Vessel::Microwave).unwrap_or(Vessel::Bowl)),
        _ => (vessel, vessel),
    };
    let has = |w: &str| words.iter().any(|x| x.starts_with(w));
    Look {
        action,
        thing: thing.map(|t| t.1),
        form: thing.map_or(Form::Whole, |t| form(&words, t.0)),
        other,
        vessel,
        target,
        tool: tool.unwrap_or_else(|| usual_tool(action, name)),
        flame: if has("low") { 0.35 } else if has("high") { 1.0 } else { 0.65 },
        covered: has("cover") && !has("uncover") || has("lid"),
        stirred: has("stirring") || has("mixing") || has("tossing") || has("saut"),
    }
}

/// The verb that names the action: the first that is known.
fn first_verb(words: &[String]) -> (usize, Action) {
    // "In a bowl, add …", "Once the pan is hot, add …", "Slowly pour …": verbs come later.
    let adjective = |w: &str| w.ends_with("ed") || w == "cooking" || w == "serving" || w == "mixing" || w == "boiling" || w == "sliced" || w == "toast" && words.len() > 1 && words[0] != "toast" || w == "open" && words.len() > 1 && words[0] != "open" || w == "top" && words[0] != "top" || w == "line" && words[0] != "line" || w == "let" && words[0] != "let" || w == "lettuce" || w == "topping" || w == "cutting" || w == "baking" || w == "batter" || w == "paper" || w == "pepper" || w == "salt" || w == "settle" || w == "dripper" || w == "package" || w == "packet" || w == "restaurant" || w == "butter" && words[0] != "butter" || w == "heat" && words[0] != "heat" || w == "dry" && words.iter().any(|x| x == "pat") || w == "drizzle" && words[0] != "drizzle" || w == "patty" || w == "layer" || w == "place" && words[0] != "place" || w == "spoon" && words[0] != "spoon" || w == "spoonful" || w == "spoonfuls" || w == "dish" || w == "platter" || w == "cup" || w == "rest" || w == "grater" || w == "peeler" || w == "blender" || w == "grinder" || w == "kettle" || w == "microwave" && words.first().is_some_and(|f| f != "microwave" && f != "continue") || w == "brush" && words[0] != "brush" || w == "taken" || w == "filling" || w == "rounds" || w == "getting";
    let known = words.iter().enumerate().find_map(|(i, w)| verb_action(w).filter(|_| !adjective(w)).map(|a| (i, a)));
    known.unwrap_or_else(|| {
        let hash = super::rng::hash_text(words.first().map_or("", String::as_str));
        (0, Action::Handle((hash % 8) as u8))
    })
}

/// Second thoughts on the action, from the rest of the words.
fn adjust(action: Action, words: &[String], thing: Option<Thing>, vessels: &[(usize, Vessel)]) -> Action {
    let has = |w: &str| words.iter().any(|x| x == w);
    let liquid = thing.is_some_and(|t| t.shape == lexicon::Shape::Puddle);
    match action {
        Action::Heat | Action::Cook if has("microwave") || has("microwaving") => Action::Microwave,
        Action::Cook if has("microwave") => Action::Microwave,
        Action::Flip | Action::Place if has("heat") || has("stove") || has("burner") => Action::Knob,
        Action::Remove if has("heat") => Action::Lift,
        Action::Cover if has("water") => Action::Pour,
        Action::Transfer if has("water") || has("kettle") => Action::Pour,
        Action::Place if has("aside") => Action::Lift,
        Action::Pour if thing.is_some_and(|t| t.shape == lexicon::Shape::Egg) => Action::Crack,
        Action::Squeeze if has("contents") => Action::Crack,
        Action::Cut if has("scissors") => Action::Snip,
        Action::Wait if has("stirring") && vessels.is_empty() => Action::Wait,
        Action::Peel if words.first().is_some_and(|w| w == "pull") && liquid => Action::Remove,
        Action::Chop if has("grate") => Action::Chop,
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
        Action::Place | Action::Spread | Action::Drizzle | Action::Sprinkle if other.is_some() => Vessel::Plate,
        Action::Place | Action::Peel | Action::Take | Action::Open | Action::Fold | Action::Pat => Vessel::Worktop,
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
        Action::Add if name.contains(" cup ") && name.contains('/') => Tool::MeasuringCup,
        _ => Tool::Hand,
    }
}

/// How the thing at this place is cut, from the words around it.
fn form(words: &[String], at: usize) -> Form {
    let near = &words[at.saturating_sub(3)..(at + 3).min(words.len())];
    let before = &words[at.saturating_sub(3)..at];
    if before.iter().any(|w| matches!(w.as_str(), "chopped" | "minced" | "diced" | "grated" | "shredded")) {
        return Form::Pieces;
    }
    let first = words.first().map(String::as_str);
    if first != Some("slice") && first != Some("cut") && near.iter().any(|w| matches!(w.as_str(), "slices" | "sliced" | "halves" | "strips" | "cut")) {
        return Form::Slices;
    }
    Form::Whole
}

/// A step's name from CaptainCook4D's `Verb-Text`: the text with its verb, without what is in
/// parentheses, its first sentence, at most [`NAME_WORDS_MAX`] words.
pub fn clean_name(description: &str) -> String {
    let (verb, text) = match description.split_once('-') {
        Some((verb, text)) if is_verb(verb) => (verb.trim(), text.trim()),
        _ => ("", description.trim()),
    };
    let text = first_sentence(&without_parentheses(text));
    let text = text.strip_prefix("then ").unwrap_or(&text);
    let stem: String = verb.to_lowercase().split(' ').next().unwrap_or("").chars().take(4).collect();
    let has_verb = stem.is_empty() || text.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|w| w.starts_with(&stem));
    let full = if has_verb { text.to_owned() } else { format!("{verb} {text}") };
    capital(&shorten(&full))
}

fn is_verb(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.split(' ').count() <= VERB_WORDS_MAX && text.chars().all(|c| c.is_alphabetic() || c == ' ')
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0usize;
    let mut kept = String::new();
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Up to the first full stop that a capital follows, or the end; without stops at the end.
fn first_sentence(text: &str) -> String {
    let ends = text.match_indices(". ").find(|(i, _)| text[i + 2..].starts_with(char::is_uppercase)).map(|m| m.0);
    text[..ends.unwrap_or(text.len())].trim_end_matches(['.', ',', ';', ':', ' ']).to_owned()
}

/// At most [`NAME_WORDS_MAX`] words, cut at a comma where one is near, never behind a small word.
fn shorten(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() <= NAME_WORDS_MAX {
        return words.join(" ");
    }
    let comma = (4..NAME_WORDS_MAX).rev().find(|i| words[*i].ends_with(','));
    let mut end = comma.map_or(NAME_WORDS_MAX, |i| i + 1);
    let dangling = |w: &str| matches!(w, "a" | "the" | "to" | "and" | "or" | "in" | "of" | "by" | "until" | "about" | "with" | "for" | "so" | "not" | "on" | "into");
    while end > 1 && (dangling(words[end - 1]) || end > 2 && words[end - 2] == "to" && comma.is_none()) {
        end -= 1;
    }
    words[..end].join(" ").trim_end_matches([',', ';', '.']).to_owned()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
