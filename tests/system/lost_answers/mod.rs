//! The database's answer is lost after the commit. The service runs the statement again, and the caller gets the answer
//! of the first run.

mod bookings;
mod conversations;
mod workers;

use teppan_tests::proxy::Proxy;

/// Makes a call. The database's first answer to its statement is lost.
pub async fn with_lost_answer<T>(
    proxy: &Proxy,
    statement: &'static str,
    call: impl Future<Output = Result<T, tonic::Status>>,
) -> T {
    let (lost, ran) = (proxy.lost(), proxy.ran(statement));
    proxy.lose_answer_to(statement);
    let answer = call.await.unwrap_or_else(|status| panic!("{statement}: {status:?}"));
    assert_eq!(proxy.lost() - lost, 1, "{statement}");
    assert!(proxy.ran(statement) - ran >= 2, "{statement} is run again");
    answer
}
