//! What must hold in the databases at any time.

use teppan_tests::{
    harness,
    invariants::{
        AREAS_THAT_MISCOUNT, BOOKINGS_WITH_WRONG_SUMS, BROKEN_CHAINS, INCONSISTENT_ENTRIES, SEQUENCES_WITH_GAPS,
        SLOTS_THAT_MISCOUNT, STATISTICS_THAT_DIFFER, UNSERVED_ENTRIES,
    },
};

use super::{Checked, Evidence, Findings};

/// What was given up, and waits for an operator. Faults that end must not lead to any.
const DEAD_LETTERS: &str = "SELECT count(*) FROM dead_letters";
const DEAD_MESSAGES: &str = "SELECT count(*) FROM outbox_messages WHERE dead_at IS NOT NULL";

pub async fn hold(evidence: &Evidence<'_>) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "the databases are consistent");
    let (booking, conversation) = (&evidence.world.booking, &evidence.world.conversation);
    let queries = [
        (booking, "slots count their bookings", SLOTS_THAT_MISCOUNT),
        (booking, "areas count their guests and tables", AREAS_THAT_MISCOUNT),
        (booking, "events are unbroken chains", BROKEN_CHAINS),
        (booking, "entries agree with their bookings", INCONSISTENT_ENTRIES),
        (booking, "no entry waits while there are seats", UNSERVED_ENTRIES),
        (booking, "sums are those of the payments", BOOKINGS_WITH_WRONG_SUMS),
        (booking, "nothing was given up", DEAD_LETTERS),
        (conversation, "nothing was given up", DEAD_MESSAGES),
        (conversation, "sequences are dense", SEQUENCES_WITH_GAPS),
        (conversation, "statistics are those of the messages", STATISTICS_THAT_DIFFER),
    ];
    for (url, what, query) in queries {
        let exceptions: i64 = harness::scalar(url, query).await;
        findings.check(exceptions == 0, "", || format!("{what}: {exceptions} exceptions"));
    }
    findings.done()
}
