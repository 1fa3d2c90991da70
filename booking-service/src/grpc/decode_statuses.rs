use teppan_shared::status::Violations;

/// Decodes the filter `statuses` of a list without duplicates. `None`: the filter is empty and selects all states.
///
/// `kinds` is the number of states. A longer list must contain duplicates; it is one violation, independent of its contents.
pub fn decode_statuses<S: PartialEq>(
    raw: &[i32],
    kinds: usize,
    decode: impl Fn(i32) -> Result<S, &'static str>,
    violations: &mut Violations,
) -> Option<Vec<S>> {
    if raw.len() > kinds {
        violations.add("statuses", format_args!("must have at most {kinds} entries"));
        return None;
    }
    let mut statuses = Vec::new();
    for (index, status) in raw.iter().enumerate() {
        let status = violations.check(format_args!("statuses[{index}]"), decode(*status));
        statuses.extend(status.filter(|status| !statuses.contains(status)));
    }
    (!raw.is_empty()).then_some(statuses)
}

#[cfg(test)]
mod tests {
    use teppan_shared::status::Violations;

    use super::decode_statuses;

    #[test]
    fn duplicate_statuses_are_dropped_and_a_list_that_is_too_long_is_one_violation() {
        let decode = |raw: &[i32], violations: &mut Violations| {
            let known = |status: i32| if status > 0 { Ok(status) } else { Err("must be a status") };
            decode_statuses(raw, 3, known, violations)
        };
        let mut violations = Violations::default();
        assert_eq!(decode(&[], &mut violations), None);
        assert_eq!(decode(&[2, 1, 2], &mut violations), Some(vec![2, 1]));
        violations.finish().expect("nothing is wrong");

        let mut violations = Violations::default();
        assert_eq!(decode(&[0, 0, 0, 0], &mut violations), None);
        let message = violations.into_status().message().to_owned();
        assert!(message.starts_with("These fields are missing or wrong: statuses. "), "{message}");
    }
}
