//! Sentences for steps that nobody has written: what is done, with what, where to and with which
//! tool, put together freely.
//!
//! What a step looks like follows from its words, so any sentence has its picture. Recorded recipes
//! have a few hundred sentences, which a model learns by heart; these are without number, so it has
//! to learn the words.

use super::lexicon::{self, Shape};
use super::words::look;
use proact::rng::Rng;

/// Share of things that have no look of their own in the lexicon.
const STRANGE_SHARE: f32 = 0.1;

/// Things that the lexicon does not have.
#[rustfmt::skip]
const STRANGE: [&str; 40] = [
    "dough", "pumpkin", "yeast", "lentil", "beetroot", "kiwi", "mango", "pear", "radish", "celery", "leek", "fennel", "eggplant", "squash", "asparagus", "peach", "plum", "grape", "melon", "raisin",
    "almond", "oat", "quinoa", "couscous", "hummus", "pesto", "mustard", "caper", "olive", "pickle", "gelatin", "thyme", "rosemary", "paprika", "saffron", "nutmeg", "sausage", "turkey", "duck", "lobster",
];

/// Things that can stand for each other in a sentence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Cut, peeled, cooked.
    Solid,
    /// Poured, sprinkled, added by the spoon.
    Loose,
    /// Whatever is left alone.
    Own,
}

/// What a thing of the lexicon can stand for.
pub(super) fn kind(noun: &str, shape: Shape) -> Kind {
    // Verbs at the same time, or words whose sentence would make no sense.
    if matches!(
        noun,
        "ground"
            | "content"
            | "contents"
            | "can"
            | "toast"
            | "butter"
            | "wrap"
            | "package"
            | "mixture"
            | "ingredient"
            | "water"
            | "leaf"
            | "dollop"
    ) {
        return Kind::Own;
    }
    match shape {
        Shape::Ball
        | Shape::Bulb
        | Shape::Long
        | Shape::Bent
        | Shape::Pepper
        | Shape::Leaf
        | Shape::Herb
        | Shape::Mushroom
        | Shape::Tree => Kind::Solid,
        Shape::Clove
        | Shape::Cubes
        | Shape::Block
        | Shape::Balls
        | Shape::Stalk
        | Shape::Half
        | Shape::Berry
        | Shape::Slice
        | Shape::Bun => Kind::Solid,
        Shape::Heap
        | Shape::Shaker
        | Shape::Bottle
        | Shape::Jar
        | Shape::Packet
        | Shape::Carton => Kind::Loose,
        _ => Kind::Own,
    }
}

/// A thing of a kind, now and then one that the lexicon does not have.
pub(super) fn thing(of: Kind, strange_share: f32, rng: &mut Rng) -> &'static str {
    if rng.unit() < strange_share {
        return rng.pick(&STRANGE);
    }
    let all: Vec<&str> = lexicon::things()
        .filter(|(noun, shape)| kind(noun, *shape) == of)
        .map(|t| t.0)
        .collect();
    rng.pick(&all)
}

/// `{a|b}` is one of them, `<slot>` is filled by [`slot`]. Each group is as likely as another, so
/// that no verb is rare.
#[rustfmt::skip]
const GROUPS: &[&[&str]] = &[
    &["{Chop|Slice|Mince|Dice|Cut|Halve|Trim} <some solid>", "{Finely chop|Roughly chop|Thinly slice|Carefully cut|Then slice} <some solid>", "{Slice|Cut|Chop} <some solid> into {slices|halves|small pieces|large cubes|strips|1/2 inch thick slices|about 1 inch pieces}", "{Chop|Slice|Cut|Dice} <some solid> on {a|the} cutting board", "Cut <some solid> with a knife"],
    &["{Peel|Grate|Shred|Zest} <some solid>", "Peel <some solid> with a peeler", "Grate <some solid> {into|over} the <bowl>", "Spiralize <some solid> {|with a spiralizer}", "{Tear|Break} <some solid> into {pieces|small pieces}", "{Peel and discard the skin of|Grate or shred} <some solid>"],
    &["{Squeeze|Extract} juice from <some solid>", "Squeeze <some solid> {into|over} the <bowl>", "Press <some solid> {on|in} the <bowl>"],
    &["{Rinse|Wash|Clean} <some solid> {|under cold water|in the sink|in a sieve}", "{Rinse|Wash} <some solid>", "Rinse the <bowl>", "Thaw <some any> in {the sink|a <bowl>}"],
    &["{Pat|Dry} <the solid> {|dry} with a {towel|paper towel}", "Wipe the <bowl> with a {towel|paper towel}", "Pat <the solid> dry"],
    &["{Add|Put|Place} <some any> {to|into|in} {a|the} <bowl>", "{Add|Put} <some loose> {to|into} {a|the} <bowl>", "Add <some solid> to {a|the} <bowl>", "In {a|the} <bowl>, {add|put} <some any>", "To {a|the} <bowl>, add <some any>", "Add <some any> to the <bowl>", "Then add <some any> {and <some any>|} to the <bowl>"],
    &["Add {chopped|sliced|grated|minced|shredded|diced} <solids> to the <bowl>", "Add the {chopped|sliced|cut} <solids> to {a|the} <bowl>", "In the <bowl>, add the {cut|chopped|sliced} <solids>", "{Put|Place} the {sliced|chopped} <solid> {in|on} the <bowl>"],
    &["{Pour|Slowly pour|Carefully pour} <some liquid> {into|over|in} {a|the} <bowl>", "Pour <the loose> into {a|the} <bowl>", "In {a|the} <bowl>, pour <some liquid>", "Fill {a|the} <bowl> with <some liquid>", "Pour the whisked eggs into the <pan>", "Slowly pour the rest of the <liquid> over <the solid>"],
    &["{Drizzle|Splash} <some liquid> {on|over|onto|into} {a|the} <bowl>", "Drizzle <some liquid> over <the solid>", "Drizzle the <solids> with <some liquid>", "Drizzle with <some liquid> on the <pan>"],
    &["Sprinkle <some loose> {over|on} <the solid>", "Sprinkle <some loose> {over|on|into} the <bowl>", "{Season|Sprinkle|Dust} <the solid> with <some loose>", "Season the {bowl|pan|pot} with <some loose>", "Season with <some loose>"],
    &["Garnish {|the dish} with <some any> {|and serve}", "Garnish {the <bowl>|<the solid>} with {|chopped} <solid>", "Top <the solid> with <some any>", "Top {the <bowl>|it} with <some any>"],
    &["{Place|Lay|Arrange|Set} <some solid> on {a|the} <plate>", "{Place|Lay} <the solid> on <the solid>", "{Place|Put} <some solid> {slices|pieces} {on|onto} {a|the} <plate>", "Place <the solid> {in|into|inside} {a|the} <bowl>", "Place the <bowl> on the {scale|tray|plate|board}", "{Line|Cover} the <plate> with {a paper towel|a paper liner}", "Return <the solid> to the <pan>"],
    &["{Spread|Brush} <some loose> {on|over} <the solid>", "{Brush|Coat|Grease|Butter} the <pan> with <some liquid>", "{Brush|Coat} <some solid> with <some liquid> {|on both sides}", "Spread <the any> {|evenly} on {a|the} {tortilla|toast|bread|plate}", "Butter the <pan>"],
    &["{Stir|Mix|Combine|Toss} {the contents of|everything in|all the ingredients in|the mixture in} the <bowl>", "{Stir|Mix} <the any> {|and <the any>} {|in the <bowl>}", "{Stir|Mix} <the any> with a {spoon|spatula|fork}", "{Keep mixing|Keep stirring} with a {spatula|spoon} {|for <n> minutes}", "Toss <the solid> with <the loose>", "{Stir|Mix} until {smooth|combined}"],
    &["{Whisk|Beat} <the any> {in the <bowl>|until smooth|with a fork|with a whisk}", "In {a|the} <bowl>, whisk <some any>", "{Whisk|Beat} the {egg mixture|mixture|eggs} {|in the <bowl>}"],
    &["{Blend|Blitz|Puree} <the any> {|in the blender|until smooth}", "{Blend|Blitz} until smooth", "Grind <some any> {|in the grinder}", "Transfer <the any> to the blender", "Add <some any> to the blender"],
    &["{Fold|Roll|Wrap} the {tortilla|<solid>|wrap} {|tightly|into a log|in half}", "Roll <the solid> {|into a ball}", "Fold in <the any>", "Wrap <the solid> in {a|the} {tortilla|lettuce leaf|paper towel}"],
    &["{Cook|Fry|Saute|Brown|Toast|Grill} <the solid> {in the <pan>|on the <pan>|} {|for <n> minutes|until golden|on medium heat}", "{Cook|Fry|Saute} <some solid> {on medium heat|in the <pan>} until {they are soft|it turns brown}", "Cook {pan|covered|the <pan>} for <n> {minute|minutes} {|or until the <solids> soften}", "Cook for <n> minutes, {stirring often|mixing everything}", "Toast both sides of <the solid> on the <pan>"],
    &["{Heat|Warm|Melt} <some loose> in {a|the} <pan> {|on medium heat|on low heat}", "Heat {a|the} <pan> {|on medium heat|over high heat}", "Preheat the {oven|pan}", "{Boil|Simmer|Steam} <some any> in {a|the} {pot|saucepan|kettle}", "Boil {|some} water {|in the kettle|in a pot}", "Bake <the solid> in the oven for <n> minutes"],
    &["Microwave {|the} <dish> {|covered|uncovered} for <n> {seconds|minutes}", "Microwave <the any> for <n> {seconds|minutes}", "{Heat|Cook} <the any> in the microwave {|for <n> minutes}", "Place the <dish> in the microwave"],
    &["{Flip|Turn} <the solid> {|over|with a spatula|with tongs|on the <pan>}", "{Turn|Flip} the {omelette|pancake|tortilla} {|with a spatula|in the <pan>}"],
    &["{Turn on the heat|Return the heat|Turn the heat} to {low|medium|high}", "Turn {on|off} the {heat|stove|burner}", "{Remove|Briefly remove|Lift} the <pan> from {the heat|heat}", "Remove from {the heat|heat}", "Return to {low|high|medium} heat", "Set the <bowl> aside"],
    &["Transfer <the any> {to|onto|into} {a|the} <bowl>", "Transfer <the any> {to|onto} {a|the} <plate>", "Transfer <the any> from the <bowl> to {a|the} <plate>", "{Serve|Scoop|Spoon|Move} <the any> {onto|to|into} {a|the} <plate>", "Spoon the mixture from the <bowl> {onto|into} <the solid>", "Scoop <some any> {into|from} the <bowl>", "Serve {on|in} a <plate>"],
    &["{Take|Get|Grab|Gather} <some any>", "{Take|Get|Grab} {a|the} <bowl>", "Open {a can of|the|a package of} <any>", "{Open|Unscrew} <the loose>", "{Remove|Take} <the solid> {from|out of} the <bowl>"],
    &["{Drain|Strain} <the any> {|in the sieve|in a colander|from the <bowl>}", "Drain the <bowl>", "{Discard|Throw away} <the solid>", "Dispose of <the solid> in the bin"],
    &["Measure <some loose>", "Measure <some loose> {in|with} a {measuring cup|tablespoon}", "Weigh <some any> {|on the scale}", "Crack {one egg|an egg|<n> eggs} {into|in} {a|the} <bowl>", "Crack {one egg|2 eggs}"],
    &["Cover {a|the} <bowl> {|with a lid|with a plate|with a towel}", "Close the lid of the <pan>", "Seal the {bag|zip top bag}", "Invert {a|the} <bowl> onto {a|the} plate", "Secure <the solid> with {a toothpick|toothpicks}"],
    &["Let <the any> {cool|rest|sit} for <n> minutes", "{Wait|Rest} for <n> minutes", "Allow <the any> to cool", "Check the temperature of <the any>", "Check <the solid> with a {thermometer|toothpick}", "Use scissors to cut {one corner from the bag|<the solid>}"],
    &["{Attach|Insert} <the any> {to|into} <the any>", "{Prepare|Clean|Test|Hold|Adjust|Inspect} <the any>", "Pick up <the any> {|with tongs}", "Remove <the any>"],
];

const BOWLS: [&str; 15] = [
    "bowl",
    "bowl",
    "mixing bowl",
    "pan",
    "pan",
    "pot",
    "mug",
    "cup",
    "ramekin",
    "plate",
    "blender",
    "skillet",
    "saucepan",
    "small bowl",
    "glass",
];
const PLATES: [&str; 7] = [
    "plate",
    "platter",
    "tray",
    "cutting board",
    "serving plate",
    "dish",
    "board",
];
const PANS: [&str; 7] = [
    "pan",
    "frying pan",
    "skillet",
    "wok",
    "pot",
    "saucepan",
    "nonstick pan",
];
const DISHES: [&str; 5] = ["bowl", "mug", "plate", "ramekin", "cup"];
const LIQUIDS: [&str; 16] = [
    "water",
    "milk",
    "olive oil",
    "oil",
    "vegetable oil",
    "sesame oil",
    "soy sauce",
    "vinegar",
    "balsamic vinegar",
    "maple syrup",
    "cream",
    "lime juice",
    "juice",
    "syrup",
    "batter",
    "cold water",
];
const AMOUNTS: [&str; 14] = [
    "1/4 tsp",
    "1/2 teaspoon of",
    "1 tsp",
    "2 tsp",
    "1 tbsp",
    "1 tablespoon of",
    "1/8 cup",
    "1/4 cup of",
    "1/2 cup",
    "a pinch of",
    "some",
    "1/3 tsp",
    "1/8 tsp of",
    "2 tablespoons",
];
const COUNTS: [&str; 13] = [
    "1",
    "2",
    "one",
    "two",
    "1/2",
    "1/4",
    "a",
    "1 medium",
    "the",
    "half of the",
    "1/4 medium",
    "3 ounces of",
    "1 small",
];

/// A sentence for a step, "Add 1/4 tsp salt to the bowl".
pub fn sentence(rng: &mut Rng) -> String {
    let group = GROUPS[rng.remainder(GROUPS.len())];
    let text = fill(group[rng.remainder(group.len())], rng);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Put around a sentence, these seldom change what it looks like.
const AROUND: [(&str, &str); 12] = [
    ("Again ", ""),
    ("Then ", ""),
    ("Carefully ", ""),
    ("Now ", ""),
    ("", " a second time"),
    ("", " once more"),
    ("", " for 2 minutes"),
    ("", " for 7 to 8 minutes"),
    ("", " until smooth"),
    ("", " as needed"),
    ("", " well"),
    ("", " gently"),
];
/// So many sentences are tried for one that looks the same.
const TRIES: usize = 150;
/// Where what is done ends and how, how long or what for begins.
const TURNS: [&str; 12] = [
    " until ",
    " for ",
    ", ",
    " or ",
    " while ",
    " so ",
    " without ",
    " if ",
    " when ",
    " by ",
    " to make ",
    " and ",
];
/// A shorter end is no more than a word.
const TAIL_MIN: usize = 9;

/// The end of a sentence that says how, how long or what for: " until mushrooms start to soften".
pub fn tail(name: &str) -> Option<&str> {
    let at = TURNS.iter().filter_map(|turn| name.find(turn)).min()?;
    (name[..at].contains(' ') && name[at..].len() >= TAIL_MIN).then_some(&name[at..])
}

/// The sentence with one of these ends instead of its own; itself if there are none.
pub fn with_tail(name: &str, tails: &[String], rng: &mut Rng) -> String {
    let kept = &name[..name.len() - tail(name).map_or(0, str::len)];
    if tails.is_empty() {
        name.to_owned()
    } else {
        format!("{kept}{}", tails[rng.remainder(tails.len())])
    }
}

/// Another sentence for a step that looks the same; none if none is found.
pub fn in_other_words(name: &str, tails: &[String], rng: &mut Rng) -> Option<String> {
    let shown = look(name);
    let around = |rng: &mut Rng| {
        let (before, after) = AROUND[rng.remainder(AROUND.len())];
        let rest = if before.is_empty() {
            name.to_owned()
        } else {
            uncapitalised(name)
        };
        format!("{before}{rest}{after}")
    };
    let same = |other: &String| other != name && look(other) == shown;
    let ended = |rng: &mut Rng| {
        if rng.remainder(2) == 0 {
            (0..AROUND.len())
                .map(|_| with_tail(name, tails, rng))
                .find(same)
        } else {
            None
        }
    };
    ended(rng)
        .or_else(|| (0..TRIES).map(|_| sentence(rng)).find(same))
        .or_else(|| (0..AROUND.len()).map(|_| around(rng)).find(same))
}

fn uncapitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// A template with its alternatives chosen and its slots filled, from left to right.
fn fill(template: &str, rng: &mut Rng) -> String {
    let Some(at) = template.find(['{', '<']) else {
        return template.to_owned();
    };
    let close = if template[at..].starts_with('{') {
        '}'
    } else {
        '>'
    };
    let Some(end) = template[at..].find(close).map(|length| at + length) else {
        return template.to_owned();
    };
    let inside = &template[at + 1..end];
    let chosen = if close == '}' {
        let options: Vec<&str> = inside.split('|').collect();
        fill(options[rng.remainder(options.len())], rng)
    } else {
        slot(inside, rng)
    };
    format!(
        "{}{chosen}{}",
        &template[..at],
        fill(&template[end + 1..], rng)
    )
}

fn slot(name: &str, rng: &mut Rng) -> String {
    match name {
        "bowl" => rng.pick(&BOWLS).to_owned(),
        "plate" => rng.pick(&PLATES).to_owned(),
        "pan" => rng.pick(&PANS).to_owned(),
        "dish" => rng.pick(&DISHES).to_owned(),
        "liquid" => rng.pick(&LIQUIDS).to_owned(),
        "n" => (1 + rng.remainder(10)).to_string(),
        "solid" => thing(Kind::Solid, STRANGE_SHARE, rng).to_owned(),
        "solids" => plural(thing(Kind::Solid, STRANGE_SHARE, rng)),
        "loose" => thing(Kind::Loose, STRANGE_SHARE, rng).to_owned(),
        "any" => slot(
            if rng.remainder(2) == 0 {
                "solid"
            } else {
                "loose"
            },
            rng,
        ),
        "the any" => slot(
            if rng.remainder(2) == 0 {
                "the solid"
            } else {
                "the loose"
            },
            rng,
        ),
        "some any" => slot(
            if rng.remainder(2) == 0 {
                "some solid"
            } else {
                "some loose"
            },
            rng,
        ),
        "the solid" if rng.remainder(3) == 0 => format!("the {}", slot("solids", rng)),
        "the solid" => format!("the {}", slot("solid", rng)),
        "the loose" => format!("the {}", slot("loose", rng)),
        "some liquid" => format!("{} {}", rng.pick(&AMOUNTS), slot("liquid", rng)),
        "some loose" => format!("{} {}", rng.pick(&AMOUNTS), slot("loose", rng)),
        "some solid" if rng.remainder(3) == 0 => slot("solids", rng),
        "some solid" => format!("{} {}", rng.pick(&COUNTS), slot("solid", rng)),
        other => other.to_owned(),
    }
}

/// English plural, as far as the lexicon's nouns need it.
fn plural(noun: &str) -> String {
    let ends = |ends: &[&str]| ends.iter().any(|e| noun.ends_with(e));
    match noun {
        _ if noun.ends_with("leaf") => format!("{}aves", &noun[..noun.len() - 2]),
        _ if noun.ends_with("rry") => format!("{}ies", &noun[..noun.len() - 1]),
        _ if ends(&["to", "ch", "sh", "ss"]) => format!("{noun}es"),
        _ if noun.ends_with('s') => noun.to_owned(),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::words::Action;
    use super::*;

    #[test]
    fn sentences_are_whole_and_seldom_the_same() {
        let mut rng = Rng::new(1, "sentences");
        let made: Vec<String> = (0..3000).map(|_| sentence(&mut rng)).collect();
        for text in &made {
            assert!(
                !text.contains(['{', '}', '<', '>', '|']) && !text.contains("  ") && text.len() > 4,
                "{text}"
            );
            assert!(text.starts_with(|c: char| c.is_uppercase()), "{text}");
        }
        let distinct: HashSet<&String> = made.iter().collect();
        assert!(distinct.len() > 2500, "{}", distinct.len());
    }

    #[test]
    fn nearly_all_kinds_of_motion_and_many_things_come() {
        let mut rng = Rng::new(2, "sentences");
        let looks: Vec<_> = (0..3000).map(|_| look(&sentence(&mut rng))).collect();
        let actions: HashSet<Action> = looks.iter().map(|l| l.action).collect();
        assert!(actions.len() > 40, "{}", actions.len());
        let things: HashSet<String> = looks
            .iter()
            .filter_map(|l| l.thing)
            .map(|t| format!("{t:?}"))
            .collect();
        assert!(things.len() > 120, "{}", things.len());
        let unknown = looks
            .iter()
            .filter(|l| matches!(l.action, Action::Handle(_)))
            .count();
        assert!(unknown < 100, "{unknown} sentences whose verb is not known");
    }

    #[test]
    fn other_words_look_the_same() {
        let mut rng = Rng::new(3, "sentences");
        let tails = [
            " until it is soft".to_owned(),
            ", stirring now and then".to_owned(),
        ];
        let mut found = 0;
        for _ in 0..200 {
            let name = sentence(&mut rng);
            let Some(other) = in_other_words(&name, &tails, &mut rng) else {
                continue;
            };
            assert_eq!(look(&other), look(&name), "{name} / {other}");
            assert_ne!(other, name);
            found += 1;
        }
        assert!(found > 190, "{found}");
        assert!(in_other_words("Return the heat to medium", &[], &mut rng).is_some());
    }

    #[test]
    fn a_sentence_ends_where_it_says_how() {
        assert_eq!(
            tail("Cook for 3-5 minutes, stirring often"),
            None,
            "one word is no sentence"
        );
        assert_eq!(tail("Slice the tomato"), None);
        assert_eq!(
            tail("Stir the pan, gently, until golden"),
            Some(", gently, until golden")
        );
        let tails = [" until it is soft".to_owned()];
        assert_eq!(
            with_tail(
                "Stir the pan, gently, until golden",
                &tails,
                &mut Rng::new(1, "x")
            ),
            "Stir the pan until it is soft"
        );
        assert_eq!(
            with_tail("Stir the pan", &[], &mut Rng::new(1, "x")),
            "Stir the pan"
        );
    }

    #[test]
    fn plurals_are_read_back() {
        for noun in [
            "tomato",
            "leaf",
            "strawberry",
            "radish",
            "olive",
            "lettuce leaf",
        ] {
            assert_eq!(
                look(&format!("Chop the {}", plural(noun))).thing,
                look(&format!("Chop the {noun}")).thing,
                "{noun}"
            );
        }
    }
}
