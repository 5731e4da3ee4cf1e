//! `[conf]`: Spark's settings by their names. Spark takes a name it does not know; here it is a mistake if it looks like a
//! misspelt one. Others may be there for Spark's sake, such as `spark.sql.shuffle.partitions`: of them there is advice.

use std::collections::BTreeMap;

use skirl_engine::spelling::closest;
use skirl_engine::sql::{check_setting, setting_names};
use toml::Spanned;

use super::mistake::Mistakes;
use super::section::Section;

/// Reads `[conf]`. A refusal may be what a scenario waits for, then a value may be one that is refused.
pub(super) fn read(root: &mut Section, refusal_expected: bool) -> BTreeMap<String, String> {
    let settings = root.settings("conf");
    for (name, value) in &settings {
        note(name, value, refusal_expected, root.mistakes);
    }
    let settings = settings.into_iter();
    settings.map(|(name, value)| (name.into_inner(), value)).collect()
}

fn note(name: &Spanned<String>, value: &str, refusal_expected: bool, mistakes: &Mistakes) {
    match check_setting(name.get_ref(), value) {
        Err(_) if refusal_expected => {}
        Err(error) => {
            let help = "correct the setting, or wait for the refusal in [expect.error]";
            mistakes.note_with_help(name.span(), error.to_string(), help);
        }
        Ok(()) if is_known(name.get_ref()) => {}
        Ok(()) => {
            if let Some(meant) = closest(name.get_ref(), setting_names()) {
                let message = format!("setting `{}` changes nothing here", name.get_ref());
                mistakes.note_with_help(name.span(), message, format!("did you mean `{meant}`?"));
            }
        }
    }
}

/// Whether results depend on the setting of this name.
pub(crate) fn is_known(name: &str) -> bool {
    setting_names().any(|known| known == name)
}
