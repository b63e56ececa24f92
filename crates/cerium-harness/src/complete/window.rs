//! How much of the text around a point the model gets to see.

/// Longer lines are cut, so that a minified file costs no more than another, in bytes.
const LINE_BYTES_MAX: usize = 4_000;
/// Of the budget, this part goes to the text before the point.
const PART_BEFORE: f32 = 0.75;

/// A window begins at a line that this part of its lines, or a bit less, divides.
const STEP_PART: usize = 8;

/// The text before and after the point, whole lines nearest to it, in at most `tokens_max` tokens
/// together. Three quarters go to the text before; what one side does not need the other gets, up to `after_tokens_max`.
///
/// Where lines are left out, the window begins at the same one for a while: who types at its end then has only that end read.
pub fn window<'t>(
    before: &'t str,
    after: &'t str,
    tokens_max: usize,
    after_tokens_max: usize,
    count_tokens: &dyn Fn(&str) -> usize,
) -> (&'t str, &'t str) {
    let share = (tokens_max as f32 * PART_BEFORE) as usize;
    let (_, n_after) = head(after, after_tokens_max.min(tokens_max - share), count_tokens);
    let (before, n_before) = tail(before, tokens_max - n_after, count_tokens);
    let (after, _) = head(after, after_tokens_max.min(tokens_max - n_before), count_tokens);
    (before, after)
}

/// The last lines that fit, and their tokens.
fn tail<'t>(text: &'t str, tokens_max: usize, count: &dyn Fn(&str) -> usize) -> (&'t str, usize) {
    // Where the text could begin, and the tokens from there.
    let mut starts = vec![(text.len(), 0)];
    let (mut start, mut n_tokens) = (text.len(), 0);
    while start > 0 {
        let above = &text[..start];
        let above = above.strip_suffix('\n').unwrap_or(above);
        let line = &text[above.rfind('\n').map_or(0, |at| at + 1)..start];
        let whole = line.len() <= LINE_BYTES_MAX;
        let line = if whole { line } else { &line[ceil(line, line.len() - LINE_BYTES_MAX)..] };
        let n_line = count(line);
        if n_tokens + n_line > tokens_max {
            break;
        }
        n_tokens += n_line;
        start -= line.len();
        if !whole {
            return (&text[start..], n_tokens);
        }
        starts.push((start, n_tokens));
    }
    if start > 0 {
        let n_lines = starts.len() - 1;
        let step = 1 << (n_lines / STEP_PART).max(1).ilog2();
        let line = text[..start].matches('\n').count();
        let n_skipped = line.next_multiple_of(step) - line;
        (start, n_tokens) = starts[n_lines - n_skipped];
    }
    (&text[start..], n_tokens)
}

/// The first lines that fit, and their tokens.
fn head<'t>(text: &'t str, tokens_max: usize, count: &dyn Fn(&str) -> usize) -> (&'t str, usize) {
    let mut end = 0;
    let mut n_tokens = 0;
    for line in text.split_inclusive('\n') {
        let whole = line.len() <= LINE_BYTES_MAX;
        let line = if whole { line } else { &line[..ceil(line, LINE_BYTES_MAX)] };
        let n_line = count(line);
        if n_tokens + n_line > tokens_max {
            break;
        }
        n_tokens += n_line;
        end += line.len();
        if !whole {
            break;
        }
    }
    (&text[..end], n_tokens)
}

/// The first character boundary at or after a byte.
fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}
