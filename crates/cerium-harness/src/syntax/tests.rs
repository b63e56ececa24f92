//! The tree's door, language by language.

use super::*;
use std::fmt::Write;

fn show(language: Language, text: &str) -> String {
    let parsed = parse(language, text).unwrap();
    let mut out = format!("errors {}\n", parsed.errors());
    for d in parsed.declarations() {
        let _ = writeln!(
            out,
            "{}-{} def {} head {} {} {} | {}",
            d.lines.start,
            d.lines.end,
            d.def_line,
            d.head_end,
            d.kind.word(),
            d.path,
            d.signature
        );
    }
    out
}

#[test]
fn python_declarations() {
    insta::assert_snapshot!(show(
        Language::Python,
        r#"# licence

import os

LIMIT: int = 3
TYPED: int

# about f
@cache
@other(1)
def f(
    a,
    b=2,
) -> int:
    """Doc.

    more
    """
    x = 1
    def inner(): pass
    return x

class A(B):
    name: str
    kind = 1

    async def go(self):
        return 1

    @property
    def p(self): ...

if True:
    def g(): pass
"#
    ));
}

#[test]
fn rust_declarations() {
    insta::assert_snapshot!(show(
        Language::Rust,
        r"//! Module docs.

use std::fmt;

/// A point.
#[derive(Debug)]
pub struct Point<T> {
    /// Across.
    pub x: T, // trailing
    y: T,
}

impl<T: Copy> Point<T> {
    const ORIGIN: i32 = 0;

    /// New.
    #[must_use]
    pub fn new(x: T, y: T) -> Self
    where
        T: Copy,
    {
        fn helper() {}
        Self { x, y }
    }
}

enum E { A, B { v: i32 }, }
trait T { fn t(&self); }
impl<T> fmt::Display for Point<T> { }
macro_rules! m { () => {} }
mod inner { pub static S: u8 = 1; }
"
    ));
}

#[test]
fn javascript_and_typescript_declarations() {
    insta::assert_snapshot!(show(
        Language::JavaScript,
        r"'use strict';
import a from 'a';

/**
 * Doc.
 */
export default function f(x, y) {
  const local = 1;
  return () => local;
}

export const g = async (x) => {
  return x;
};
const LIMIT = 3, OTHER = 4;

class A extends B {
  #p = 1;
  static n = 2;
  go() { return 1; }
  get h() { return 2; }
}

const table = {
  one: function () { return 1; },
  two() { return 2; },
  three: 3,
};
A.prototype.late = function late(x) { };
module.exports = function (x) { };
"
    ));
    insta::assert_snapshot!(show(
        Language::TypeScript,
        r"export interface I {
  a: string;
  go(x: number): void;
}
export type T = { a: 1 };
enum E { A, B }

@Injectable()
export class C<T> {
  private readonly x: number = 1;
  @Input() y?: string;
  constructor(private z: T) {}
  async m(): Promise<void> {}
}
declare module 'm' {
  export function f(): void;
}
"
    ));
}

#[test]
fn go_c_cpp_java_declarations() {
    insta::assert_snapshot!(show(
        Language::Go,
        r"package p

// T is.
type T struct {
	Name string
	n, m int
}

type (
	A int
	B interface {
		Go(x int) error
	}
)

const Limit = 3

var (
	x = 1
	y = 2
)

// Go goes.
func (t *T) Go(x int) error {
	z := 1
	return nil
}

func main() {}
"
    ));
    insta::assert_snapshot!(show(
        Language::C,
        r"#include <a.h>
#define LIMIT 3

struct s {
  int a;
  char *b;
};
typedef struct { int x; } t;
static int count = 0;
int proto(int a);

/* Adds. */
static int *add(int a, int b)
{
  int c = a + b;
  return 0;
}
"
    ));
    insta::assert_snapshot!(show(
        Language::Cpp,
        r"namespace n {
template <typename T>
class A : public B {
 public:
  A(int x) : x_(x) {}
  ~A();
  int get() const { return x_; }
 private:
  int x_ = 0;
};

int A::other(int y) { return y; }
enum class E { One, Two };
}
"
    ));
    insta::assert_snapshot!(show(
        Language::Java,
        r"package p;
import a.B;

/** Doc. */
@Deprecated
public class A extends B {
    private static final int LIMIT = 3;

    @Override
    public int go(int x) throws E {
        int y = 1;
        return y;
    }

    A() {}
    enum E { ONE, TWO }
    record R(int a) {}
}
"
    ));
}

#[test]
fn other_declarations() {
    insta::assert_snapshot!(show(
        Language::Json,
        "{\n  \"name\": \"x\",\n  \"scripts\": {\n    \"build\": \"y\",\n    \"deep\": {\"er\": 1}\n  }\n}\n"
    ));
    insta::assert_snapshot!(show(
        Language::Bash,
        "#!/bin/sh\nX=1\n# says\nsay() {\n  local y=2\n  echo hi\n}\n"
    ));
    insta::assert_snapshot!(show(
        Language::Css,
        ".a, .b > c {\n  color: red;\n}\n\n/* x */\n@media print {\n  p { color: blue; }\n}\n"
    ));
    insta::assert_snapshot!(show(Language::Html, "<p>hi</p>\n"));
}

#[test]
fn names_as_people_write_them() {
    let text = "class A:\n    def go(self): pass\n";
    let decls = parse(Language::Python, text).unwrap().declarations();
    let go = &decls[1];
    for name in ["go", "go()", "A.go", "A::go", "A#go", ".go"] {
        assert!(go.is_called(name), "{name}");
    }
    for name in ["o", "", ".", "B.go", "A.g", "A"] {
        assert!(!go.is_called(name), "{name}");
    }
    assert_eq!(go.container(), "A");
}

#[test]
fn statements_grow_to_what_one_would_select() {
    let text = "def f(x):\n    if x:\n        a = [\n            1,\n            2,\n        ]\n        b = 2\n    return a\n";
    let parsed = parse(Language::Python, text).unwrap();
    assert_eq!(parsed.statements(LineSpan::line(4)), LineSpan::new(3, 6));
    assert_eq!(parsed.statements(LineSpan::new(5, 7)), LineSpan::new(3, 7));
    assert_eq!(parsed.statements(LineSpan::new(7, 8)), LineSpan::new(2, 8));
    assert_eq!(parsed.statements(LineSpan::line(8)), LineSpan::line(8));
}

#[test]
fn errors_are_counted_and_found() {
    let parsed = parse(Language::Rust, "fn a() {}\nfn b( {}\nfn c() {}\n").unwrap();
    assert!(parsed.errors() > 0);
    assert_eq!(parsed.first_error(), Some(LineSpan::line(2)));
    assert_eq!(count_errors(None, "((("), 0);
}

#[test]
fn roles_tell_names_apart() {
    let show = |language, text: &str| {
        let parsed = parse(language, text).unwrap();
        let found = parsed.occurrences("x");
        found.iter().map(|o| format!("{:?}", o.role)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        show(
            Language::Python,
            "class A:\n    x: int\n    def f(self, x):\n        self.x = g(x=x, y='x') # x\n"
        ),
        "Member Plain Member Key Plain"
    );
    assert_eq!(
        show(
            Language::Rust,
            "struct A { x: u8 }\nfn f(x: u8) -> A { p!(a.x, x, B::x); A { x } }\n"
        ),
        "Member Plain Member Plain Qualified Shorthand"
    );
    assert_eq!(
        show(Language::JavaScript, "class A { x() {} }\nf({x, y: x, x: 1}); a.x = x;\n"),
        "Member Shorthand Plain Key Member Plain"
    );
    assert_eq!(
        show(Language::Go, "package p\nfunc f(x int) { a.x = T{x: x} }\n"),
        "Plain Member Member Plain"
    );
}

#[test]
fn deep_nesting_is_survived() {
    let text = "(".repeat(200_000);
    let parsed = parse(Language::JavaScript, &text);
    if let Some(parsed) = parsed {
        assert!(parsed.errors() > 0);
        assert!(parsed.declarations().is_empty());
    }
}
