//! What the documents show: every command line parses, every command and flag that is named exists,
//! every link leads somewhere.

use crate::cli::Cli;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser};
use std::fs;
use std::path::{Path, PathBuf};

/// The documents of the checkout and their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut paths: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root.join(name)).into();
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(pages.filter(|path| path.extension().is_some_and(|it| it == "md")));
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A Markdown text: its fenced blocks of shell lines, and what stands outside of fences.
fn parts(text: &str) -> (Vec<&str>, String) {
    let (mut shell, mut prose, mut fence) = (Vec::new(), String::new(), None);
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language.trim()),
            (Some(_), Some(_)) => fence = None,
            (None, Some("sh" | "console" | "bash")) => shell.push(line),
            (None, Some(_)) => {}
            (None, None) => {
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    (shell, prose)
}

/// The words of a shell line that runs this program, if it does, without what the shell makes of the rest.
fn typed(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches(['$', '#']).trim_start();
    let line = line
        .strip_prefix("cargo run --release -p cerium --")
        .map_or(line.into(), |rest| format!("cerium{rest}"));
    let words = shlex::split(&line)?;
    let is_setting = |word: &String| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let ends = |word: &String| {
        ["|", "&&", ";", "&", "<"].contains(&word.as_str())
            || word.trim_start_matches('2').starts_with('>')
    };
    let words: Vec<_> =
        words.into_iter().skip_while(is_setting).take_while(|it| !ends(it)).collect();
    (words.first()? == "cerium").then_some(words)
}

#[test]
fn command_lines_parse() {
    let mut cli = Cli::command();
    cli.build();
    let mut n_seen = 0;
    for (path, text) in documents() {
        for line in parts(&text).0 {
            let Some(words) = typed(line) else { continue };
            n_seen += 1;
            if words.iter().any(|word| word == "...") {
                // The rest is left to the reader.
                let named = words.iter().skip(1).map(String::as_str);
                let wrong = check(&cli, named).err();
                assert_eq!(wrong, None, "{}: `{line}`", path.display());
                continue;
            }
            match Cli::try_parse_from(&words) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::DisplayHelp => {}
                Err(error) if error.kind() == ErrorKind::DisplayVersion => {}
                Err(error) => panic!("{}: `{line}`: {error}", path.display()),
            }
        }
    }
    assert!(n_seen >= 8, "{n_seen}");
}

#[test]
fn commands_and_flags_that_are_named_exist() {
    let mut cli = Cli::command();
    cli.build();
    let mut n_seen = 0;
    for (path, text) in documents() {
        let prose = parts(&text).1;
        let spans =
            prose.split("\n\n").flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
        for span in spans {
            let mut words = span.split_whitespace();
            if words.next() != Some("cerium") {
                continue;
            }
            n_seen += 1;
            check(&cli, words).unwrap_or_else(|wrong| {
                panic!("{}: `{span}`: there is no `{wrong}`", path.display())
            });
        }
    }
    assert!(n_seen >= 40, "{n_seen}");
}

/// The word that is neither a command at its place nor a flag of the command.
fn check<'a>(mut command: &Command, words: impl Iterator<Item = &'a str>) -> Result<(), &'a str> {
    for word in words {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let name = long.split(['=', '\\', ',']).next().unwrap_or(long);
            let is_its = |arg: &clap::Arg| arg.get_long() == Some(name);
            if !command.get_arguments().any(is_its) && name != "version" {
                return Err(word);
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        } else if command.get_name() == "cerium" && word.chars().all(|c| c.is_ascii_lowercase()) {
            return Err(word);
        }
    }
    Ok(())
}

#[test]
fn links_lead_somewhere() {
    let mut n_seen = 0;
    for (path, text) in documents() {
        let prose = parts(&text).1;
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            n_seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(target).unwrap();
                assert!(headings(&text).any(|it| it == heading), "{}: {link}", path.display());
            }
        }
    }
    assert!(n_seen >= 10, "{n_seen}");
}

/// What the headings of a text are called in links.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles.map(|line| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}
