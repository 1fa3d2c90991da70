//! A small reader of Prometheus expressions.

/// The selectors in an expression, such as `up{job="a"}`. Each must have series.
pub fn selectors(expression: &str) -> Vec<String> {
    let tokens = tokens(expression);
    let mut selectors = Vec::new();
    let mut at = 0;
    while let Some(&token) = tokens.get(at) {
        let next = tokens.get(at + 1).copied().unwrap_or_default();
        at += 1;
        if LABEL_LISTS.contains(&token) && next == "(" {
            // The parentheses contain labels.
            while tokens.get(at).is_some_and(|token| *token != ")") {
                at += 1;
            }
        } else if is_name(token)
            && ![WORDS, &LABEL_LISTS].concat().contains(&token)
            && !["(", "by", "without"].contains(&next)
        {
            let labels = if next.starts_with('{') { next } else { "" };
            selectors.push(format!("{token}{labels}"));
        }
    }
    selectors
}

/// The expression with `bool` comparisons, which keep all series and return 0 or 1.
pub fn unfiltered(expression: &str) -> String {
    let mut words = Vec::new();
    for token in tokens(expression) {
        words.push(token);
        if COMPARISONS.contains(&token) {
            words.push("bool");
        } else if words.ends_with(&["bool", "bool"]) {
            words.pop();
        }
    }
    words.join(" ")
}

const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset"];
const COMPARISONS: [&str; 6] = ["==", "!=", ">=", "<=", ">", "<"];

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_' || letter == ':')
}

/// Names, numbers, strings, operators, parentheses, and whole label matchers and ranges.
fn tokens(expression: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '{' => closed(rest, '}'),
            '[' => closed(rest, ']'),
            '"' | '\'' => text(rest),
            _ if COMPARISONS.iter().any(|it| it.len() == 2 && rest.starts_with(it)) => 2,
            _ if is_part_of_word(first) => rest.find(|it| !is_part_of_word(it)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if first != '#' {
            tokens.push(token);
        }
        rest = after.trim_start();
    }
    tokens
}

fn is_part_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '.')
}

/// The length up to this bracket, which strings in between may contain.
fn closed(rest: &str, bracket: char) -> usize {
    let mut at = 1;
    while let Some(letter) = rest[at..].chars().next() {
        at += if matches!(letter, '"' | '\'') { text(&rest[at..]) } else { letter.len_utf8() };
        if letter == bracket {
            return at;
        }
    }
    at
}

/// The length of the string at the start of the rest.
fn text(rest: &str) -> usize {
    let mut letters = rest.char_indices();
    let quote = letters.next().map(|(_, quote)| quote);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if Some(letter) == quote {
            return at + 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_found_without_functions_labels_and_ranges() {
        let expression = r#"
            sum by (job, le) (rate(a_total{b=~"x}|y", c!=""}[5m])) # up
              / on (job) group_left teppan:b:ratio5m
            and time() - max without (i) (c) > 14.4 * scalar(d{e="\"}"}) unless absent(f offset 5m)"#;
        let expected =
            [r#"a_total{b=~"x}|y", c!=""}"#, "teppan:b:ratio5m", "c", r#"d{e="\"}"}"#, "f"].map(ToOwned::to_owned);
        assert_eq!(selectors(expression), expected);
    }

    #[test]
    fn comparisons_keep_every_series() {
        assert_eq!(unfiltered(r#"a{b!="c"} > on (d) 1"#), r#"a {b!="c"} > bool on ( d ) 1"#);
        assert_eq!(unfiltered("a >= bool 2 == 0"), "a >= bool 2 == bool 0");
    }
}
