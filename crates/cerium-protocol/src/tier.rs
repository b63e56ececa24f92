//! Tiers of service: who waits, and who lets others go first.

/// How a request is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceTier {
    /// Somebody waits for it.
    #[default]
    Default,
    /// Whatever somebody waits for goes first.
    Flex,
}

impl ServiceTier {
    /// The tier that serves a request that asks for one by this name, or for none. The tiers of a hosted service
    /// that are said to be faster are served as everything is.
    pub(crate) fn of(asked: Option<&str>) -> Self {
        if asked == Some("flex") { Self::Flex } else { Self::Default }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Flex => "flex",
        }
    }
}
