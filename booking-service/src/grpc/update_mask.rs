use teppan_shared::status::Violations;

/// More than there are fields, so that some may be named twice.
const PATHS_MAX: usize = 100;

/// Hands each field that the paths of a mask name to `set` once. `set` answers false for a field that cannot be changed;
/// `such_as` names some that can.
pub fn apply(
    paths: &[String],
    such_as: &str,
    violations: &mut Violations,
    mut set: impl FnMut(&str, &mut Violations) -> bool,
) {
    if paths.is_empty() {
        violations.add("update_mask", "must name at least one field");
    }
    if paths.len() > PATHS_MAX {
        violations.add("update_mask", format_args!("must have at most {PATHS_MAX} paths"));
    }
    for (index, path) in paths.iter().take(PATHS_MAX).enumerate() {
        // A path that is named twice says the same twice.
        if !paths[..index].contains(path) && !set(path, violations) {
            let problem = format_args!("must be a field that can be changed, such as {such_as}");
            violations.add(format_args!("update_mask.paths[{index}]"), problem);
        }
    }
}
