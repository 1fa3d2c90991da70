use teppan_shared::status::Violations;

/// Most paths in a mask; more than the number of fields, because a path may occur twice.
const PATHS_MAX: usize = 100;

/// Calls `set` once for each field that the mask names. `set` returns false for a field that cannot be changed;
/// `such_as` names examples of fields that can be changed.
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
        // Skip a path that occurred before.
        if !paths[..index].contains(path) && !set(path, violations) {
            let problem = format_args!("must be a field that can be changed, such as {such_as}");
            violations.add(format_args!("update_mask.paths[{index}]"), problem);
        }
    }
}
