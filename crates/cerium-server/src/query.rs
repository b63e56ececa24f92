//! Queries of paths, with errors in the one shape that all have.

use axum::http::Uri;
use cerium_protocol::ErrorBody;
use std::str::FromStr;

/// The fields of a query, as they came.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// A field's text; the last, when there are several.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field's value.
    ///
    /// # Errors
    /// For a text that is none; `wanted` says what would be.
    pub(crate) fn value<T: FromStr>(
        &self,
        name: &str,
        wanted: &str,
    ) -> Result<Option<T>, ErrorBody> {
        let parsed = self.text(name).map(|text| {
            text.parse().map_err(|_| {
                let what = format!("`{name}` is `{text:.60}`; it is {wanted}");
                ErrorBody::invalid(name, what)
            })
        });
        parsed.transpose()
    }
}
