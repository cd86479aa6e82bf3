//! Paths of labels: what `ltree`, `lquery` and `ltxtquery` mean, done the plain
//! way.

use super::model::labels;

/// Whether a path is an ancestor of another, or the same.
pub fn is_ancestor(of: &[String], path: &[String]) -> bool {
    path.starts_with(of)
}

/// Whether a path matches an `lquery`: items between dots, each some
/// alternatives and how many labels of the path it takes.
pub fn matches(path: &[String], query: &str) -> bool {
    let items: Vec<Item> = query.split('.').map(Item::of).collect();
    follows(path, &items)
}

fn follows(path: &[String], items: &[Item]) -> bool {
    let Some((first, rest)) = items.split_first() else { return path.is_empty() };
    (first.least..=first.most.min(path.len())).any(|n| {
        let (taken, left) = path.split_at(n);
        taken.iter().all(|label| first.takes(label)) && follows(left, rest)
    })
}

struct Item {
    negated: bool,
    /// None of them: any label.
    words: Vec<Word>,
    least: usize,
    most: usize,
}

impl Item {
    fn of(text: &str) -> Self {
        let (body, count) = match text.split_once('{') {
            Some((body, count)) => (body, Some(count.strip_suffix('}').expect("closes"))),
            None => (text, None),
        };
        let any = body == "*";
        let number = |text: &str, otherwise: usize| match text {
            "" => otherwise,
            text => text.parse().expect("a number"),
        };
        let (least, most) = match count {
            Some(count) => match count.split_once(',') {
                Some((least, most)) => (number(least, 0), number(most, usize::MAX)),
                None => (number(count, 0), number(count, 0)),
            },
            None if any => (0, usize::MAX),
            None => (1, 1),
        };
        let (negated, body) = match body.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, body),
        };
        let words = if any { Vec::new() } else { body.split('|').map(Word::of).collect() };
        Item { negated, words, least, most }
    }

    fn takes(&self, label: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| word.is(label)) != self.negated
    }
}

/// A label with its modifiers.
struct Word {
    text: String,
    /// `@`
    folds: bool,
    /// `*`
    begins: bool,
    /// `%`
    of_words: bool,
}

impl Word {
    fn of(text: &str) -> Self {
        let plain = text.trim_end_matches(['@', '*', '%']);
        let has = |modifier| text[plain.len()..].contains(modifier);
        Word { text: plain.to_owned(), folds: has('@'), begins: has('*'), of_words: has('%') }
    }

    fn is(&self, label: &str) -> bool {
        if !self.of_words {
            return self.equals(&self.text, label);
        }
        // Each word between underscores is some word of the label.
        let words = |text: &str| -> Vec<String> {
            text.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        words(&self.text).iter().all(|own| words(label).iter().any(|word| self.equals(own, word)))
    }

    fn equals(&self, own: &str, word: &str) -> bool {
        let fold = |text: &str| if self.folds { text.to_lowercase() } else { text.to_owned() };
        let (own, word) = (fold(own), fold(word));
        if self.begins { word.starts_with(&own) } else { word == own }
    }
}

/// Whether a path matches an `ltxtquery`: words that are in it or not.
pub fn matches_fulltext(path: &[String], query: &str) -> bool {
    let query: Vec<char> = query.chars().filter(|c| *c != ' ').collect();
    let mut rest = query.as_slice();
    let truth = disjunction(path, &mut rest);
    assert!(rest.is_empty(), "an ltxtquery ends with {rest:?}");
    truth
}

fn next(rest: &mut &[char], wanted: char) -> bool {
    match rest.split_first() {
        Some((c, left)) if *c == wanted => {
            *rest = left;
            true
        }
        _ => false,
    }
}

fn disjunction(path: &[String], rest: &mut &[char]) -> bool {
    let mut truth = conjunction(path, rest);
    while next(rest, '|') {
        truth |= conjunction(path, rest);
    }
    truth
}

fn conjunction(path: &[String], rest: &mut &[char]) -> bool {
    let mut truth = negation(path, rest);
    while next(rest, '&') {
        truth &= negation(path, rest);
    }
    truth
}

fn negation(path: &[String], rest: &mut &[char]) -> bool {
    if next(rest, '!') {
        return !negation(path, rest);
    }
    if next(rest, '(') {
        let truth = disjunction(path, rest);
        assert!(next(rest, ')'), "an ltxtquery closes");
        return truth;
    }
    let end = rest.iter().position(|c| "&|!()".contains(*c)).unwrap_or(rest.len());
    let (word, left) = rest.split_at(end);
    *rest = left;
    let word = Word::of(&word.iter().collect::<String>());
    path.iter().any(|label| word.is(label))
}

/// The labels of a path that came as JSON.
pub fn of_json(json: &str) -> Vec<String> {
    labels(&serde_json::from_str::<String>(json).expect("a string"))
}
