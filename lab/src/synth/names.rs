//! Names of steps from CaptainCook4D's descriptions.

/// Words of a step's name at most.
const NAME_WORDS_MAX: usize = 14;
/// Words at most before the dash of CaptainCook4D's `Verb-Text`.
const VERB_WORDS_MAX: usize = 3;
/// Letters by which a verb is found again in the text: "mix" in "mixing".
const STEM_CHARS: usize = 4;

/// A step's name from a description `Verb-Text`: the text with its verb, without what is in
/// parentheses, the sentence that has the verb, at most 14 words.
pub fn clean_name(description: &str) -> String {
    let (verb, text) = match description.split_once('-') {
        Some((verb, text)) if is_verb(verb) => (verb.trim(), text.trim()),
        _ => ("", description.trim()),
    };
    let stem: String = verb
        .to_lowercase()
        .split(' ')
        .next()
        .unwrap_or("")
        .chars()
        .take(STEM_CHARS)
        .collect();
    let has_verb = |text: &str| {
        text.to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .any(|w| w.starts_with(&stem))
    };
    let text = without_parentheses(text);
    let sentences = sentences(&text);
    let meant = sentences
        .iter()
        .find(|s| has_verb(s))
        .or(sentences.first())
        .copied()
        .unwrap_or("");
    let meant = meant.strip_prefix("then ").unwrap_or(meant);
    let full = if has_verb(meant) {
        meant.to_owned()
    } else {
        format!("{verb} {meant}")
    };
    capital(&shorten(&full))
}

fn is_verb(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty()
        && text.split(' ').count() <= VERB_WORDS_MAX
        && text.chars().all(|c| c.is_alphabetic() || c == ' ')
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

/// The sentences: a full stop ends one if a capital follows ("6-oz. cup" goes on).
fn sentences(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(". ") {
        if text[at + 2..].starts_with(char::is_uppercase) {
            parts.push(&text[from..at]);
            from = at + 2;
        }
    }
    parts.push(&text[from..]);
    parts
        .into_iter()
        .map(|p| p.trim_matches(['.', ',', ';', ':', ' ']))
        .collect()
}

/// At most [`NAME_WORDS_MAX`] words, cut at a comma where one is near, never behind a small word.
fn shorten(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() <= NAME_WORDS_MAX {
        return words.join(" ");
    }
    let comma = (4..NAME_WORDS_MAX).rev().find(|i| words[*i].ends_with(','));
    let mut end = comma.map_or(NAME_WORDS_MAX, |i| i + 1);
    let dangling = |w: &str| {
        matches!(
            w,
            "a" | "the"
                | "to"
                | "and"
                | "or"
                | "in"
                | "of"
                | "by"
                | "until"
                | "about"
                | "with"
                | "for"
                | "so"
                | "not"
                | "on"
                | "into"
        )
    };
    while end > 1
        && (dangling(words[end - 1]) || end > 2 && words[end - 2] == "to" && comma.is_none())
    {
        end -= 1;
    }
    words[..end]
        .join(" ")
        .trim_end_matches([',', ';', '.'])
        .to_owned()
}

/// With a capital letter.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_keep_their_verb() {
        let cases = [
            (
                "Slice-Slice one tomato into about 1/2 inch thick slices",
                "Slice one tomato into about 1/2 inch thick slices",
            ),
            (
                "Coat -Coat a 6-oz. ramekin cup with cooking spray",
                "Coat a 6-oz. ramekin cup with cooking spray",
            ),
            ("Add-1 egg to a blender", "Add 1 egg to a blender"),
            (
                "Measure and add-1.5 tbsp sugar to the mixing bowl",
                "Measure and add 1.5 tbsp sugar to the mixing bowl",
            ),
            (
                "mixing-Keep mixing with a spatula",
                "Keep mixing with a spatula",
            ),
            (
                "add-In a bowl, add the cut cherry tomatoes",
                "In a bowl, add the cut cherry tomatoes",
            ),
            (
                "Season-pepper on pan to taste",
                "Season pepper on pan to taste",
            ),
            (
                "Boil-Boil the water. (While the water is boiling, assemble the filter cone)",
                "Boil the water",
            ),
            (
                "Melt-Melt the cheese by microwaving cup for 30 sec. (Check after 30 seconds)",
                "Melt the cheese by microwaving cup for 30 sec",
            ),
            (
                "Scoop-While the cake is cooling, prepare. Scoop 4 spoonfuls into a bag",
                "Scoop 4 spoonfuls into a bag",
            ),
            ("stir-then stir the bowl", "Stir the bowl"),
            ("Plain words without a dash", "Plain words without a dash"),
            (
                "Add-Add a drizzle of oil, about 1 tablespoon, over the platter, and then wait until it is gone",
                "Add a drizzle of oil, about 1 tablespoon, over the platter",
            ),
        ];
        for (raw, clean) in cases {
            assert_eq!(clean_name(raw), clean);
        }
    }

    #[test]
    fn odd_descriptions_do_not_break_it() {
        for odd in [
            "",
            "-",
            "--",
            "(",
            "((x",
            "Add-",
            "é-é",
            "Add-(all of it)",
            ". . .",
            "Verb-. A. B",
        ] {
            let name = clean_name(odd);
            assert!(
                name.split_whitespace().count() <= NAME_WORDS_MAX && !name.contains('('),
                "{odd:?}: {name:?}"
            );
        }
    }
}
