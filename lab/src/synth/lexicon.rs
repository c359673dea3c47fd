//! The words that have a look of their own: things, vessels and tools, with shapes and colours.
//!
//! A noun that is not here gets a shape and colours from its own hash: stable, and unlike others.

use super::canvas::Ink;
use proact::rng::{hash_text, mix};

/// Outline of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A ball with a stalk: tomato.
    Ball,
    /// A striped bulb with a tip: onion.
    Bulb,
    /// An egg.
    Egg,
    /// A long body: cucumber, carrot.
    Long,
    /// A bent body: banana, chilli.
    Bent,
    /// A blocky pepper with lobes.
    Pepper,
    /// Broad crinkled leaves.
    Leaf,
    /// Twigs with small leaves.
    Herb,
    /// Cap and stem.
    Mushroom,
    /// Stem with a cloud.
    Tree,
    /// A bulb that ends in a point.
    Clove,
    /// Several cubes.
    Cubes,
    /// One block.
    Block,
    /// A slice of bread.
    Slice,
    /// A round split bun.
    Bun,
    /// A long scored loaf.
    Loaf,
    /// A thin round.
    Flat,
    /// Strands.
    Strands,
    /// A heap of grains.
    Heap,
    /// A shaker with holes.
    Shaker,
    /// A bottle with a neck.
    Bottle,
    /// A wide jar with a lid.
    Jar,
    /// A tin.
    Can,
    /// A packet.
    Packet,
    /// A carton with a gable.
    Carton,
    /// A puddle.
    Puddle,
    /// A paper cone.
    Cone,
    /// Several balls.
    Balls,
    /// A stalk: scallion, asparagus.
    Stalk,
    /// Halved fruit with a stone.
    Half,
    /// A pointed berry.
    Berry,
    /// A pleated cup.
    Cup,
    /// A spray can.
    Spray,
    /// A log-shaped roll.
    Roll,
}

/// A thing that is handled: outline and two colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thing {
    /// Outline.
    pub shape: Shape,
    /// Main colour.
    pub main: Ink,
    /// Second colour: inside, label, stalk.
    pub second: Ink,
}

/// What things are put into, or done on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vessel {
    /// A round bowl.
    Bowl,
    /// A mug with a handle, from above.
    Mug,
    /// A small fluted cup.
    Ramekin,
    /// A round plate with a rim.
    Plate,
    /// A long oval platter.
    Platter,
    /// A wooden board.
    Board,
    /// A pan with a handle.
    Pan,
    /// A pot with two handles.
    Pot,
    /// A blender.
    Blender,
    /// A kettle.
    Kettle,
    /// A microwave oven.
    Microwave,
    /// A coffee dripper on its mug.
    Dripper,
    /// A sieve.
    Sieve,
    /// A kitchen scale.
    Scale,
    /// A grinder.
    Grinder,
    /// A zip-top bag.
    Bag,
    /// A sink.
    Sink,
    /// A waste bin.
    Bin,
    /// A measuring cup.
    Measure,
    /// A spiralizer.
    Spiralizer,
    /// A toaster or an oven.
    Oven,
    /// Nothing but the worktop.
    Worktop,
}

/// What the hand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The bare hand.
    Hand,
    /// A knife.
    Knife,
    /// A spoon.
    Spoon,
    /// A small measuring spoon.
    MeasuringSpoon,
    /// A cup for measuring.
    MeasuringCup,
    /// A whisk.
    Whisk,
    /// A fork.
    Fork,
    /// A flat spatula.
    Spatula,
    /// Tongs.
    Tongs,
    /// A brush.
    Brush,
    /// A peeler.
    Peeler,
    /// A grater.
    Grater,
    /// Scissors.
    Scissors,
    /// A thermometer.
    Thermometer,
    /// A toothpick.
    Toothpick,
    /// A towel.
    Towel,
    /// A screwdriver; for what is not cooking.
    Screwdriver,
    /// A pen.
    Pen,
}

/// What a noun stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noun {
    /// A thing.
    Thing(Thing),
    /// A vessel.
    Vessel(Vessel),
    /// A tool.
    Tool(Tool),
}

/// Ground coffee: water poured over it goes through a dripper.
pub const COFFEE_GROUNDS: Thing = Thing {
    shape: Shape::Heap,
    main: Ink::hex(0x3A2415),
    second: Ink::hex(0x54331C),
};
/// What eggs become when they are whisked.
pub const EGG_MIXTURE: Thing = Thing {
    shape: Shape::Puddle,
    main: Ink::hex(0xF7CF3C),
    second: Ink::hex(0xFFE68A),
};

/// Nouns of things, in the singular; several words are matched before one.
#[rustfmt::skip]
const THINGS: &[(&str, Shape, u32, u32)] = &[
    ("tomato", Shape::Ball, 0xE0281C, 0x3E8E2A), ("cherry tomato", Shape::Balls, 0xE63B22, 0xF58A6B),
    ("egg", Shape::Egg, 0xF6EBD8, 0xF7B915), ("egg mixture", Shape::Puddle, 0xF7CF3C, 0xFFE68A),
    ("omelette", Shape::Flat, 0xF5C93A, 0xD89A20), ("omelet", Shape::Flat, 0xF5C93A, 0xD89A20),
    ("cucumber", Shape::Long, 0x2F7D32, 0xCDE8A8), ("zucchini", Shape::Long, 0x44802A, 0xE3EDB0),
    ("zoodle", Shape::Strands, 0x8FBF4D, 0xDCEB9F), ("zucchini noodle", Shape::Strands, 0x8FBF4D, 0xDCEB9F),
    ("carrot", Shape::Long, 0xF07A18, 0xF9AE5A), ("onion", Shape::Bulb, 0xB4662E, 0xF3E3EA), ("shallot", Shape::Clove, 0xA24A6B, 0xF0D5E4),
    ("scallion", Shape::Stalk, 0x3FA046, 0xF2F6E2), ("garlic", Shape::Clove, 0xF1EADC, 0xC9A6C4), ("garlic clove", Shape::Clove, 0xF1EADC, 0xC9A6C4),
    ("ginger", Shape::Bent, 0xC9A264, 0xEFD999), ("chilli", Shape::Bent, 0x2E9E35, 0x1B6B24), ("green chilli", Shape::Bent, 0x2E9E35, 0x1B6B24), ("chili", Shape::Bent, 0xD22B1E, 0x2E8B3A),
    ("bell pepper", Shape::Pepper, 0xD9251D, 0x2E8B3A), ("red bell pepper", Shape::Pepper, 0xD9251D, 0x2E8B3A),
    ("mushroom", Shape::Mushroom, 0xB08A62, 0xEADFCB), ("cremini mushroom", Shape::Mushroom, 0x8A5F3C, 0xE6D6BE), ("mushroom stem", Shape::Mushroom, 0xB08A62, 0xEADFCB),
    ("broccoli", Shape::Tree, 0x2C7A2E, 0x9CCB6A), ("broccoli floret", Shape::Tree, 0x2C7A2E, 0x9CCB6A), ("cauliflower", Shape::Tree, 0xF2EBD5, 0xC7D8A0),
    ("avocado", Shape::Half, 0x4B6B22, 0xC8D96F), ("lettuce", Shape::Leaf, 0x6FBF3B, 0xC9EB93), ("lettuce leaf", Shape::Leaf, 0x6FBF3B, 0xC9EB93), ("leaf", Shape::Leaf, 0x5BAF3A, 0xB5E28A), ("lettuce wrap", Shape::Roll, 0x6FBF3B, 0xE2B48E), ("wrap", Shape::Roll, 0x7CC04A, 0xE2B48E),
    ("spinach", Shape::Leaf, 0x2F7A33, 0x79B55B), ("cilantro", Shape::Herb, 0x3DA23A, 0x88C95A), ("cilantro leaf", Shape::Herb, 0x3DA23A, 0x88C95A), ("basil", Shape::Leaf, 0x2B7F3B, 0x5FB55A), ("parsley", Shape::Herb, 0x2F8F3A, 0x74BE55),
    ("mint", Shape::Herb, 0x4FBF7A, 0xA0E3B4), ("oregano", Shape::Shaker, 0xE6E6E0, 0x5E7A3A), ("italian seasoning", Shape::Shaker, 0xE8E3D6, 0x7D8B3C), ("seasoning", Shape::Shaker, 0xE8E3D6, 0xA8762E),
    ("lime", Shape::Half, 0x5FA62B, 0xD9EE9C), ("lime juice", Shape::Puddle, 0xD6E88A, 0xEFF7C2), ("lemon", Shape::Half, 0xF4D92B, 0xFFF3A8), ("banana", Shape::Bent, 0xF7D838, 0x8A6A1E),
    ("strawberry", Shape::Berry, 0xE3263A, 0x3E9C3A), ("apple", Shape::Ball, 0xC9252B, 0x5F8F2E), ("orange", Shape::Ball, 0xF28C1B, 0x4E9A35), ("potato", Shape::Egg, 0xBE9A63, 0x8C6B3E),
    ("corn", Shape::Heap, 0xF8D030, 0xE9AE1A), ("frozen corn", Shape::Heap, 0xF8DE6A, 0xDCEBF5), ("bean", Shape::Heap, 0x7A3B24, 0xA8603C), ("rice", Shape::Heap, 0xF4F1E6, 0xDAD6C4), ("pea", Shape::Heap, 0x5FB13A, 0x8ED065),
    ("coffee bean", Shape::Heap, 0x4A2A16, 0x7A4A28), ("coffee ground", Shape::Heap, 0x3A2415, 0x54331C), ("ground", Shape::Heap, 0x3A2415, 0x54331C), ("coffee", Shape::Puddle, 0x3B1F0E, 0x6B3F1F), ("tea bag", Shape::Packet, 0xD9B27A, 0x8A5A2B), ("tea", Shape::Puddle, 0xA85B1C, 0xC97F36),
    ("flour", Shape::Packet, 0xF1E7D2, 0x3F6FB5), ("sugar", Shape::Packet, 0xFBFBFB, 0xE5559A), ("cornstarch", Shape::Packet, 0xF5EFC4, 0xE9B511), ("baking powder", Shape::Can, 0xC8232B, 0xF4F0E4), ("flavour packet", Shape::Packet, 0xE8502A, 0xF7D04A), ("package", Shape::Packet, 0xF08A1D, 0xD12C23), ("noodle", Shape::Strands, 0xF3D27A, 0xD9A941), ("ramen", Shape::Strands, 0xF3D27A, 0xE08A2A), ("spaghetti", Shape::Strands, 0xF1D98C, 0xD9B04A), ("pasta", Shape::Strands, 0xF1D98C, 0xD9B04A),
    ("salt", Shape::Shaker, 0xF7F7F7, 0x3A78C9), ("pepper", Shape::Shaker, 0x2B2724, 0xB9B4A8), ("black pepper", Shape::Shaker, 0x2B2724, 0xB9B4A8), ("ground black pepper", Shape::Shaker, 0x2B2724, 0xB9B4A8), ("pepper powder", Shape::Shaker, 0x2B2724, 0xB9B4A8), ("cinnamon", Shape::Shaker, 0x9A4E1F, 0xE8C79A), ("cumin powder", Shape::Jar, 0x8F6A2A, 0xD6B25A), ("turmeric", Shape::Jar, 0xF0A400, 0xF8D24A), ("red chilli powder", Shape::Jar, 0xC21F10, 0xF05A35), ("chilli powder", Shape::Jar, 0xC21F10, 0xF05A35), ("chaat masala powder", Shape::Jar, 0x7A4A35, 0xC98F5E), ("chat masala powder", Shape::Jar, 0x7A4A35, 0xC98F5E), ("masala", Shape::Jar, 0x7A4A35, 0xC98F5E), ("powder", Shape::Jar, 0xB58A5A, 0xE3CBA0),
    ("oil", Shape::Bottle, 0xE3B92E, 0xF6E08A), ("olive oil", Shape::Bottle, 0x9AA51F, 0xD9DE6A), ("extra virgin olive oil", Shape::Bottle, 0x9AA51F, 0xD9DE6A), ("vegetable oil", Shape::Bottle, 0xF0CC3F, 0xFBE999), ("sesame oil", Shape::Bottle, 0xB5651D, 0xE5A75A), ("cooking spray", Shape::Spray, 0xE8C01E, 0xC52A2A), ("soy sauce", Shape::Bottle, 0x2E1510, 0xD12A22), ("vinegar", Shape::Bottle, 0x9B3B2A, 0xF0D8C0), ("balsamic vinegar", Shape::Bottle, 0x3D1420, 0xE8D2A6), ("vanilla extract", Shape::Bottle, 0x5A3014, 0xEFE3C0), ("vanilla", Shape::Bottle, 0x5A3014, 0xEFE3C0), ("maple syrup", Shape::Bottle, 0x8A3D0D, 0xF2C063), ("syrup", Shape::Bottle, 0x8A3D0D, 0xF2C063), ("sriracha sauce", Shape::Bottle, 0xD6220F, 0x2F9A3A), ("sriracha", Shape::Bottle, 0xD6220F, 0x2F9A3A), ("sweet and sour sauce", Shape::Bottle, 0xE8631A, 0xF8C04A), ("honey", Shape::Jar, 0xE79A10, 0xF9CC55), ("salsa", Shape::Jar, 0xC8321C, 0x4FA040), ("mayonnaise", Shape::Jar, 0xFAF3DC, 0x2E6FC0), ("curd", Shape::Jar, 0xFDFDF8, 0x5AA7DB), ("yogurt", Shape::Jar, 0xFDFDF8, 0x5AA7DB), ("sauce", Shape::Puddle, 0x9A3F1C, 0xC9703A), ("sauce mixture", Shape::Puddle, 0x7A4A22, 0xB57A3E), ("ketchup", Shape::Bottle, 0xCF1B1B, 0xFFFFFF), ("jam", Shape::Jar, 0xA3163A, 0xE5536E),
    ("milk", Shape::Carton, 0xF4F8FC, 0x2F7FD6), ("cream", Shape::Carton, 0xFBF6E8, 0xE0A52F), ("water", Shape::Puddle, 0x7DBDE8, 0xD3ECFA), ("cold water", Shape::Puddle, 0x7DBDE8, 0xD3ECFA), ("juice", Shape::Carton, 0xF2A01F, 0xFFFFFF), ("batter", Shape::Puddle, 0xEBCF92, 0xF7E6BD), ("contents", Shape::Puddle, 0xC7A268, 0xE5CFA2), ("content", Shape::Puddle, 0xC7A268, 0xE5CFA2), ("mixture", Shape::Puddle, 0xCFA86A, 0xE9D3A4), ("filling", Shape::Puddle, 0xB8864A, 0xDDB57C), ("ingredient", Shape::Heap, 0xB59A4A, 0x7A9A4A), ("vegetable", Shape::Cubes, 0x58A33C, 0xE2782A),
    ("butter", Shape::Block, 0xFBE36B, 0xFDF3B4), ("knob of butter", Shape::Block, 0xFBE36B, 0xFDF3B4), ("cheese", Shape::Block, 0xF6A81C, 0xFFD36B), ("cheddar cheese", Shape::Block, 0xF28A12, 0xFFBE5A), ("mozzarella", Shape::Balls, 0xFDFBF2, 0xE6E0CC), ("mozzarella cheese", Shape::Balls, 0xFDFBF2, 0xE6E0CC), ("parmesan", Shape::Block, 0xF0D98E, 0xC9A24A), ("parmesan cheese", Shape::Block, 0xF0D98E, 0xC9A24A), ("tofu", Shape::Cubes, 0xF6EFDF, 0xE0D3B4), ("tofu cube", Shape::Cubes, 0xF6EFDF, 0xE0D3B4), ("frosting", Shape::Puddle, 0x5A2E16, 0x8A5230), ("chocolate frosting", Shape::Puddle, 0x5A2E16, 0x8A5230), ("chocolate", Shape::Block, 0x4A2412, 0x7A4526), ("dollop", Shape::Balls, 0x5A2E16, 0x8A5230),
    ("bread", Shape::Slice, 0xE8C68A, 0xB9793A), ("bread piece", Shape::Cubes, 0xE8C68A, 0xB9793A), ("toast", Shape::Slice, 0xC98D45, 0x8A5524), ("english muffin", Shape::Bun, 0xE0AE62, 0xF6E3BD), ("muffin", Shape::Bun, 0xE0AE62, 0xF6E3BD), ("bun", Shape::Bun, 0xD08A3E, 0xF6E3BD), ("baguette", Shape::Loaf, 0xCF9040, 0xF3DDAE), ("tortilla", Shape::Flat, 0xF1DFB6, 0xC9A060), ("pancake", Shape::Flat, 0xD69A48, 0xA8692A), ("puddle", Shape::Flat, 0xEBCF92, 0xD9B26A), ("cake", Shape::Bun, 0x8A5230, 0x5A2E16), ("cookie", Shape::Flat, 0xB9793A, 0x5A2E16), ("meatball", Shape::Balls, 0x7A4128, 0xA8653F), ("chicken", Shape::Egg, 0xE8B98A, 0xB97A4A), ("meat", Shape::Block, 0xA83A32, 0xE3A59A), ("bacon", Shape::Strands, 0xB8403A, 0xF0C8B4), ("ham", Shape::Flat, 0xE58A8E, 0xF5C4C0), ("fish", Shape::Long, 0x8FA8B8, 0xDCE6EC), ("salmon", Shape::Block, 0xF08C64, 0xF9C3A6), ("tuna", Shape::Can, 0x2F6FB0, 0xE2B48E), ("tuna mixture", Shape::Heap, 0xE2B48E, 0x6FBF3B), ("can", Shape::Can, 0xA9B3BA, 0x2F6FB0), ("excess water", Shape::Can, 0x9CC7E4, 0x2F6FB0), ("shrimp", Shape::Bent, 0xF29A7E, 0xFBD3C4), ("nut", Shape::Heap, 0xA8743E, 0xD0A468), ("burrito", Shape::Roll, 0xF1DFB6, 0xC9A060),
    ("filter", Shape::Cone, 0xF5EFE2, 0xC8B58E), ("paper filter", Shape::Cone, 0xF5EFE2, 0xC8B58E), ("filter insert", Shape::Cone, 0xF5EFE2, 0xC8B58E), ("paper liner", Shape::Cup, 0xF6D3DD, 0xD8638A), ("cupcake liner", Shape::Cup, 0xF6D3DD, 0xD8638A), ("paper cupcake liner", Shape::Cup, 0xF6D3DD, 0xD8638A), ("liner", Shape::Cup, 0xF6D3DD, 0xD8638A), ("lined mug", Shape::Cup, 0xF6D3DD, 0xD8638A),
    ("wheel", Shape::Flat, 0x2E2E33, 0xA9B3BA), ("screw", Shape::Stalk, 0x9AA5AD, 0xD8DEE2), ("book", Shape::Block, 0x2F5FA8, 0xF4F1E6), ("soap", Shape::Bottle, 0x3FB5A8, 0xE3F7F4),
];

#[rustfmt::skip]
const VESSELS: &[(&str, Vessel)] = &[
    ("bowl", Vessel::Bowl), ("mixing bowl", Vessel::Bowl), ("microwave safe bowl", Vessel::Bowl), ("small bowl", Vessel::Bowl),
    ("mug", Vessel::Mug), ("coffee mug", Vessel::Mug), ("cup", Vessel::Mug), ("microwave safe cup", Vessel::Mug), ("glass", Vessel::Mug),
    ("ramekin", Vessel::Ramekin), ("ramekin cup", Vessel::Ramekin), ("plate", Vessel::Plate), ("dish", Vessel::Plate), ("serving dish", Vessel::Plate), ("serving plate", Vessel::Plate), ("microwave safe plate", Vessel::Plate),
    ("platter", Vessel::Platter), ("tray", Vessel::Platter), ("cutting board", Vessel::Board), ("board", Vessel::Board), ("pan", Vessel::Pan), ("frying pan", Vessel::Pan), ("skillet", Vessel::Pan), ("wok", Vessel::Pan),
    ("pot", Vessel::Pot), ("saucepan", Vessel::Pot), ("blender", Vessel::Blender), ("kettle", Vessel::Kettle), ("microwave", Vessel::Microwave), ("dripper", Vessel::Dripper), ("filter cone", Vessel::Dripper),
    ("sieve", Vessel::Sieve), ("colander", Vessel::Sieve), ("strainer", Vessel::Sieve), ("scale", Vessel::Scale), ("grinder", Vessel::Grinder), ("bag", Vessel::Bag), ("zip top bag", Vessel::Bag), ("zip bag", Vessel::Bag),
    ("sink", Vessel::Sink), ("bin", Vessel::Bin), ("trash", Vessel::Bin), ("measuring cup", Vessel::Measure), ("spiralizer", Vessel::Spiralizer), ("oven", Vessel::Oven), ("toaster", Vessel::Oven),
];

#[rustfmt::skip]
const TOOLS: &[(&str, Tool)] = &[
    ("knife", Tool::Knife), ("spoon", Tool::Spoon), ("wooden spoon", Tool::Spoon), ("whisk", Tool::Whisk), ("fork", Tool::Fork), ("spatula", Tool::Spatula), ("fish slice spatula", Tool::Spatula), ("tong", Tool::Tongs), ("brush", Tool::Brush), ("peeler", Tool::Peeler), ("grater", Tool::Grater), ("scissors", Tool::Scissors), ("scissor", Tool::Scissors),
    ("thermometer", Tool::Thermometer), ("temperature", Tool::Thermometer), ("toothpick", Tool::Toothpick), ("towel", Tool::Towel), ("paper towel", Tool::Towel), ("tea towel", Tool::Towel), ("teaspoon", Tool::MeasuringSpoon), ("tablespoon", Tool::MeasuringSpoon), ("tsp", Tool::MeasuringSpoon), ("tbsp", Tool::MeasuringSpoon), ("pinch", Tool::Hand), ("screwdriver", Tool::Screwdriver), ("pen", Tool::Pen),
];

/// Shapes that an unknown noun may get.
const HASHED_SHAPES: [Shape; 12] = [
    Shape::Ball,
    Shape::Egg,
    Shape::Long,
    Shape::Pepper,
    Shape::Cubes,
    Shape::Block,
    Shape::Flat,
    Shape::Jar,
    Shape::Packet,
    Shape::Balls,
    Shape::Berry,
    Shape::Heap,
];

/// Every noun of a thing, in the singular, with its outline.
pub fn things() -> impl Iterator<Item = (&'static str, Shape)> {
    THINGS.iter().map(|t| (t.0, t.1))
}

/// What a noun (lower case, singular) stands for, if the lexicon has it.
pub fn find(noun: &str) -> Option<Noun> {
    let thing = THINGS.iter().find(|t| t.0 == noun);
    let thing = thing.map(|(_, shape, main, second)| {
        Noun::Thing(Thing {
            shape: *shape,
            main: Ink::hex(*main),
            second: Ink::hex(*second),
        })
    });
    let vessel = || {
        VESSELS
            .iter()
            .find(|v| v.0 == noun)
            .map(|v| Noun::Vessel(v.1))
    };
    let tool = || TOOLS.iter().find(|t| t.0 == noun).map(|t| Noun::Tool(t.1));
    thing.or_else(vessel).or_else(tool)
}

/// The look of a noun that the lexicon does not have.
pub fn unknown(noun: &str) -> Thing {
    let hash = hash_text(noun);
    let shape = HASHED_SHAPES[(hash % HASHED_SHAPES.len() as u64) as usize];
    Thing {
        shape,
        main: hashed_ink(mix(hash)),
        second: hashed_ink(mix(hash ^ 1)),
    }
}

/// A saturated colour, its hue from the hash.
fn hashed_ink(hash: u64) -> Ink {
    let hue = (hash % 360) as f32 / 60.0;
    let value = 0.65 + (hash >> 32 & 0xFF) as f32 / 255.0 * 0.3;
    // HSV to RGB with saturation 0.75 (each channel a trapezoid of the hue).
    let channel = |n: f32| {
        let k = (n + hue) % 6.0;
        value * (1.0 - 0.75 * k.min(4.0 - k).clamp(0.0, 1.0))
    };
    Ink {
        rgb: [channel(5.0), channel(3.0), channel(1.0)],
        alpha: 1.0,
    }
}

/// Words at most in one entry.
pub const WORDS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_unique_and_short() {
        let mut all: Vec<&str> = THINGS
            .iter()
            .map(|t| t.0)
            .chain(VESSELS.iter().map(|v| v.0))
            .chain(TOOLS.iter().map(|t| t.0))
            .collect();
        assert!(all.len() > 180);
        assert!(
            all.iter()
                .all(|n| n.split(' ').count() <= WORDS_MAX && *n == n.to_lowercase())
        );
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn unknown_nouns_have_a_stable_look_unlike_others() {
        assert_eq!(unknown("gizmo"), unknown("gizmo"));
        let looks: Vec<Thing> = ["gizmo", "widget", "doohickey", "flange"]
            .map(unknown)
            .to_vec();
        for (i, a) in looks.iter().enumerate() {
            assert!(looks[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(find("gizmo"), None);
    }
}
