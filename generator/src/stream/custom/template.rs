//! Texts made from numbers: `user-{value}`.

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text(String),
    Row,
    Value,
}

impl Part {
    pub fn parse(template: &str) -> std::result::Result<Vec<Part>, String> {
        let mut parts = vec![];
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            parts.push(Part::Text(rest[..open].to_owned()));
            let close = rest
                .find('}')
                .ok_or_else(|| format!("`{{` in `{template}` is never closed"))?;
            parts.push(match rest.get(open + 1..close) {
                Some("row") => Part::Row,
                Some("value") => Part::Value,
                _ => return Err(format!("`{template}`: between braces stands `row` or `value`")),
            });
            rest = &rest[close + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(parts)
    }

    /// About how long its texts are.
    pub fn usual_bytes(&self) -> usize {
        match self {
            Part::Text(text) => text.len(),
            Part::Row | Part::Value => 12,
        }
    }
}
