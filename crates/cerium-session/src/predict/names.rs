//! A name that became another one, in all the forms that it takes: `user_name`, `userName`,
//! `UserName`, `USER_NAME`, `set_user_names`.

/// One name in place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rename {
    /// The parts that go, in lower case.
    from: Vec<String>,
    /// What stands in their place.
    to: Vec<String>,
    /// Whether parts of a name that has one part only are joined by underscores.
    snake: bool,
}

impl Rename {
    /// What makes one name of the other; nothing for names that are alike, and for numbers: those
    /// differ from place to place.
    pub(super) fn of(from: &str, to: &str) -> Option<Self> {
        let (old, new) = (lower_parts(from), lower_parts(to));
        if old.is_empty()
            || old == new
            || from.bytes().all(|b| b.is_ascii_digit())
            || from.len() < 2
        {
            return None;
        }
        let n_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let (old_rest, new_rest) = (&old[n_start..], &new[n_start..]);
        let ends = old_rest.iter().rev().zip(new_rest.iter().rev());
        let n_end = ends.take_while(|(a, b)| a == b).count();
        let n_from = old_rest.len() - n_end;
        let snake = to.contains('_') || !to.bytes().any(|b| b.is_ascii_uppercase());
        // A name that only grew is known by all of its parts.
        if n_from == 0 {
            return Some(Self { from: old, to: new, snake });
        }
        let to = new_rest[..new_rest.len() - n_end].to_vec();
        Some(Self { from: old_rest[..n_from].to_vec(), to, snake })
    }

    /// The new form of a name that holds the old one.
    pub(super) fn apply(&self, name: &str) -> Option<String> {
        let parts = parts(name);
        let lower = lower_parts(name);
        let n = self.from.len();
        let at = lower.windows(n).position(|window| self.matches(window))?;
        // What grew once is not to grow again.
        if lower.windows(self.to.len().max(1)).any(|window| window == self.to) {
            return None;
        }
        let (first, last) = (parts[at], parts[at + n - 1]);
        let plural = lower[at + n - 1] != self.from[n - 1];
        let start = first.as_ptr() as usize - name.as_ptr() as usize;
        let end = last.as_ptr() as usize - name.as_ptr() as usize + last.len();
        let upper = |part: &str| part.len() > 1 && !part.bytes().any(|b| b.is_ascii_lowercase());
        let camel = name.bytes().any(|b| b.is_ascii_uppercase());
        let snake = name.contains('_') || (!camel && self.snake);
        let mut new = String::new();
        for (i, part) in self.to.iter().enumerate() {
            if i > 0 && (snake || upper(first)) {
                new.push('_');
            }
            if upper(first) {
                new.push_str(&part.to_uppercase());
            } else if first.starts_with(|c: char| c.is_uppercase()) || (i > 0 && !snake) {
                new.extend(part.chars().take(1).flat_map(char::to_uppercase));
                new.extend(part.chars().skip(1));
            } else {
                new.push_str(part);
            }
        }
        if plural && !new.is_empty() {
            new.push(if upper(first) { 'S' } else { 's' });
        }
        let (mut before, mut after) = (&name[..start], &name[end..]);
        if new.is_empty() {
            // Nothing stands between two underscores then.
            after = after.strip_prefix('_').unwrap_or_else(|| {
                before = before.strip_suffix('_').unwrap_or(before);
                after
            });
        }
        Some([before, &new, after].concat()).filter(|new| !new.is_empty())
    }

    /// Whether parts are those that go, the last one perhaps in the plural.
    fn matches(&self, window: &[String]) -> bool {
        let n = self.from.len();
        let last = &window[n - 1];
        window[..n - 1] == self.from[..n - 1]
            && (*last == self.from[n - 1] || last.strip_suffix('s') == Some(&self.from[n - 1]))
    }
}

/// A name's parts, as it writes them.
fn parts(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for word in name.split('_').filter(|word| !word.is_empty()) {
        let mut start = 0;
        let chars: Vec<(usize, char)> = word.char_indices().collect();
        for pair in chars.windows(2) {
            let ((_, a), (i, b)) = (pair[0], pair[1]);
            let next_is_lower = word[i + b.len_utf8()..].starts_with(|c: char| c.is_lowercase());
            let begins = b.is_uppercase() && (!a.is_uppercase() || next_is_lower);
            if begins {
                parts.push(&word[start..i]);
                start = i;
            }
        }
        parts.push(&word[start..]);
    }
    parts
}

fn lower_parts(name: &str) -> Vec<String> {
    parts(name).into_iter().map(str::to_lowercase).collect()
}
