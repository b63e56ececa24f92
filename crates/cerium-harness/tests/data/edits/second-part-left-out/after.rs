use std::fmt;

/// A point.
///
/// ```
/// let p = Point::new(1, 2);
/// ```
#[derive(Clone)]
pub struct Point {
    x: i32,
    y: i32,
}

impl Point {
    pub fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }

    #[must_use]
    fn flip(&self) -> Self {
        Self { x: self.y, y: self.x }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.x, self.y)
    }
}

pub fn origin() -> Point {
    Point::new(0, 0)
}
