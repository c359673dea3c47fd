//! Words into columns: wrapping and cutting by display width, not by bytes.

use ratatui::text::Span;

/// The sign that something was cut off.
const ELLIPSIS: &str = "…";

/// Columns that a text takes on the screen.
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text if it fits, otherwise its beginning and `…`. At most `columns` wide.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut kept = head(text, columns - 1).trim_end().to_owned();
    kept.push_str(ELLIPSIS);
    kept
}

/// The text if it fits, otherwise `…` and its end. At most `columns` wide.
pub fn tail(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut start = text.len();
    for (at, _) in text.char_indices().rev() {
        if width(&text[at..]) + 1 > columns {
            break;
        }
        start = at;
    }
    if columns == 0 {
        String::new()
    } else {
        format!("{ELLIPSIS}{}", &text[start..])
    }
}

/// The text in lines of at most `columns`, broken between words where possible. At least one line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word = word;
        if used > 0 && used + 1 + width(word) > columns {
            lines.push(String::new());
            used = 0;
        }
        // A word wider than the column is broken wherever it must be.
        while width(word) > columns {
            let piece = head(word, columns);
            // A character wider than the whole column still has to go somewhere.
            let piece = if piece.is_empty() {
                first_char(word)
            } else {
                piece
            };
            word = &word[piece.len()..];
            push(&mut lines).push_str(piece);
            lines.push(String::new());
        }
        let line = push(&mut lines);
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += width(word);
    }
    if lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn push(lines: &mut [String]) -> &mut String {
    let last = lines.len() - 1;
    &mut lines[last]
}

fn first_char(text: &str) -> &str {
    let end = text.chars().next().map_or(0, char::len_utf8);
    &text[..end]
}

/// The longest beginning of at most `columns`.
fn head(text: &str, columns: usize) -> &str {
    let mut end = 0;
    for (start, c) in text.char_indices() {
        let next = start + c.len_utf8();
        if width(&text[..next]) > columns {
            break;
        }
        end = next;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_breaks_between_words_and_only_then_within() {
        assert_eq!(
            wrap("add the sliced tomato", 9),
            ["add the", "sliced", "tomato"]
        );
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("日", 1), ["日"]);
    }

    #[test]
    fn no_line_is_wider_than_asked_and_no_word_is_lost() {
        let text = "Great, now place the tortilla on the cutting board; mind the über-long-hyphenated-word.";
        for columns in 2..60 {
            let lines = wrap(text, columns);
            assert!(
                lines.iter().all(|l| width(l) <= columns),
                "{columns}: {lines:?}"
            );
            let letters = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }

    #[test]
    fn cutting_says_that_it_cut() {
        assert_eq!(cut("tomato", 6), "tomato");
        assert_eq!(cut("tomato", 4), "tom…");
        assert_eq!(cut("tomato", 1), "…");
        assert_eq!(cut("tomato", 0), "");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(tail("tomato", 6), "tomato");
        assert_eq!(tail("tomato", 4), "…ato");
        assert_eq!(tail("日本語", 4), "…語");
        assert_eq!(tail("tomato", 0), "");
    }
}
