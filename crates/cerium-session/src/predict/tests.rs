//! How much of a change is foreseen: texts in, numbers of steps out.

use super::Trace;
use super::names::Rename;
use proptest::prelude::*;
use std::fmt::Write;

/// Bytes looked ahead in a step.
const N_AHEAD: usize = 100;

/// Steps to write `new`: each takes what was expected, as far as it is right, and one token that was
/// not.
fn steps(old: &str, new: &str, changing: bool) -> usize {
    let mut trace = Trace::new(old, changing);
    let (mut n_steps, mut rest) = (0, new.as_bytes());
    while !rest.is_empty() {
        let ahead = trace.ahead(N_AHEAD).text;
        let n_right = ahead.iter().zip(rest).take_while(|(a, b)| a == b).count();
        let (step, later) = rest.split_at((n_right + 3).min(rest.len()));
        trace.push(step);
        rest = later;
        n_steps += 1;
    }
    n_steps
}

const OLD: &str = "\
def load(path, name):
    user_name = name.strip()
    data = fetch(path, user_name)
    if data is None:
        log(path, user_name)
        return None
    return parse(data)


def store(path, name, data):
    user_name = name.strip()
    if not send(path, user_name, data):
        log(path, user_name)
        return None
    return UserName(user_name, path)
";

/// Steps that the whole old text, an edited one, takes: copied as it stands, and with what was
/// changed so far changed in the rest.
#[test]
fn edits_are_foreseen() {
    let edits: [(&str, &str, &str); 12] = [
        ("nothing", "", ""),
        ("a name", "user_name", "email"),
        ("all its forms", "ser_name", "ser_email"),
        ("another name", "path", "url"),
        ("a function", "log(path", "warn(path"),
        ("a last argument", "log(path, user_name)", "log(path, user_name, True)"),
        ("a first argument", "log(path", "log(ctx, path"),
        ("an argument less", "log(path, user_name)", "log(path)"),
        ("a value", "return None", "return False"),
        ("calls in a row", ".strip()", ".strip().lower()"),
        (
            "lines less",
            "        log(path, user_name)\n        return None\n",
            "        return None\n",
        ),
        (
            "lines more",
            "    data = fetch",
            "    # Here it comes.\n    check(path)\n    data = fetch",
        ),
    ];
    let mut table = String::new();
    for (name, from, to) in edits {
        let new = if from.is_empty() { OLD.to_owned() } else { OLD.replace(from, to) };
        let new =
            new.replace("UserName", if name == "all its forms" { "UserEmail" } else { "UserName" });
        let (copied, changed) = (steps(OLD, &new, false), steps(OLD, &new, true));
        let _ = writeln!(table, "{name}: {copied} {changed}");
    }
    let moved = format!("class Files:\n    {}", OLD.trim_end().replace('\n', "\n    "));
    let moved = moved.replace("\n    \n", "\n\n").replace("\n    \n", "\n\n") + "\n";
    let _ = writeln!(table, "moved in: {} {}", steps(OLD, &moved, false), steps(OLD, &moved, true));
    let (first, second) = OLD.split_once("\n\n\n").unwrap();
    let turned = format!("{second}\n\n{first}\n");
    let _ = writeln!(table, "turned: {} {}", steps(OLD, &turned, false), steps(OLD, &turned, true));
    let other = "fn main() {\n    println!(\"hello\");\n}\n".repeat(3);
    let _ =
        writeln!(table, "another text: {} {}", steps(OLD, &other, false), steps(OLD, &other, true));
    insta::assert_snapshot!(table, @r"
    nothing: 4 4
    a name: 15 9
    all its forms: 17 6
    another name: 8 5
    a function: 7 6
    a last argument: 7 6
    a first argument: 9 8
    an argument less: 5 5
    a value: 7 5
    calls in a row: 9 7
    lines less: 9 9
    lines more: 14 14
    moved in: 31 17
    turned: 10 13
    another text: 37 37
    ");
}

/// A change that the model makes once is not forced upon the rest for long.
#[test]
fn a_change_that_is_not_made_again_is_given_up() {
    let old = "check(value)\n".repeat(40);
    let new = old.replacen("value", "other", 1);
    let (copied, changed) = (steps(&old, &new, false), steps(&old, &new, true));
    assert!(changed <= copied + 2, "{changed} steps instead of {copied}");
}

#[test]
fn names_change_in_all_their_forms() {
    let renamed = |from: &str, to: &str, names: &[&str]| {
        let rename = Rename::of(from, to);
        let apply = |name: &&str| rename.as_ref().and_then(|rename| rename.apply(name));
        let new = names.iter().map(|name| apply(name).unwrap_or("-".into()));
        new.collect::<Vec<_>>().join(" ")
    };
    let cases = [
        ("username", "email", "username Username USERNAME get_username setUsername usernames name"),
        ("user_name", "email", "user_name userName UserName USER_NAME user_names other_name"),
        ("username", "user_email", "username Username USERNAME getUsername"),
        ("userName", "login", "user_name UserNames"),
        ("get_user", "get_account", "get_user user User set_users"),
        ("count", "total_count", "count total_count COUNT Counter"),
        ("old_count", "count", "old_count oldCount OLD_COUNT old"),
        ("HTTPServer", "HTTPClient", "HTTPServer http_server server"),
        ("größe", "länge", "größe Größe"),
        ("5", "10", "5 50"),
        ("x", "y", "x ax"),
        ("__", "name", "__ _"),
    ];
    let mut table = String::new();
    for (from, to, names) in cases {
        let names: Vec<&str> = names.split(' ').collect();
        let _ = writeln!(table, "{from} {to}: {}", renamed(from, to, &names));
    }
    insta::assert_snapshot!(table, @r"
    username email: email Email EMAIL get_email setEmail emails -
    user_name email: email email Email EMAIL emails -
    username user_email: user_email UserEmail USER_EMAIL getUserEmail
    userName login: login Logins
    get_user get_account: get_account account Account set_accounts
    count total_count: total_count - TOTAL_COUNT -
    old_count count: count Count COUNT -
    HTTPServer HTTPClient: HTTPClient http_client client
    größe länge: länge Länge
    5 10: - -
    x y: - -
    __ name: - -
    ");
}

proptest! {
    /// Whatever is expected and whatever comes, every step gets on.
    #[test]
    fn any_text_is_followed(
        old in "[ab_A(),. \n\t\u{e9}]{0,80}",
        new in "[ab_A(),. \n\t\u{e9}]{0,80}",
        cut in 1_usize..5,
    ) {
        let mut trace = Trace::new(&old, true);
        for piece in new.as_bytes().chunks(cut) {
            trace.push(piece);
            trace.ahead(20);
        }
    }

    /// A text that does not change is expected from its beginning to its end.
    #[test]
    fn an_unchanged_text_is_foreseen(old in "[a-d(),. \n]{1,300}") {
        prop_assert!(steps(&old, &old, true) <= old.len().div_ceil(N_AHEAD));
    }
}
