//! Lists of items, a page at a time.

use crate::error::raw_json;
use crate::query::Fields;
use axum::response::Response;
use cerium_protocol::ErrorBody;
use cerium_store::Item;

/// The page of `items`, which come oldest first, that a query wants.
///
/// # Errors
/// For values out of range, and for an `after` that is not in the list.
pub(crate) fn page(mut items: Vec<Item>, wanted: &Fields) -> Result<Response, ErrorBody> {
    let limit = wanted.value("limit", "1 to 100")?.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(ErrorBody::invalid("limit", format!("`limit` is {limit}; it is 1 to 100")));
    }
    match wanted.text("order") {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(order) => {
            let what = format!("`order` is `{order:.60}`; it is asc or desc");
            return Err(ErrorBody::invalid("order", what));
        }
    }
    if let Some(after) = wanted.text("after") {
        let Some(at) = items.iter().position(|item| item.id == after) else {
            let what = format!("`after` is `{after:.100}`, which is not in the list");
            return Err(ErrorBody::invalid("after", what));
        };
        items.drain(..=at);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    Ok(list(&items, has_more))
}

/// A list as the wire has it.
pub(crate) fn list(items: &[Item], has_more: bool) -> Response {
    let id = |item: Option<&Item>| {
        let id = item.map(|item| item.id.as_str());
        serde_json::to_string(&id).expect("a string can be written")
    };
    let bodies: Vec<&str> = items.iter().map(|item| item.body.as_str()).collect();
    raw_json(format!(
        "{{\"object\":\"list\",\"data\":[{}],\"first_id\":{},\"last_id\":{},\"has_more\":{has_more}}}",
        bodies.join(","),
        id(items.first()),
        id(items.last()),
    ))
}
