use super::*;

fn pools(work: usize) -> Pools {
    Pools::sized(|_| work)
}

fn take_all(pools: &Pools, holders: &Holders) -> Vec<Permit> {
    std::iter::from_fn(|| pools.take(Resource::Work, holders, 1)).collect()
}

#[test]
fn each_holder_gets_half_of_what_the_holders_before_it_left() {
    let pools = pools(1000);
    let holders: Vec<Holders> = (0..4).map(|_| Holders::default()).collect();
    let held: Vec<_> = holders.iter().map(|holder| take_all(&pools, holder)).collect();
    assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [500, 250, 125, 63]);
}

#[test]
fn the_connections_of_one_identity_share_its_share() {
    let pools = pools(1000);
    let identity = Arc::default();
    let connection = || Holders::default().and_identity(Arc::clone(&identity));
    let held: Vec<_> = (0..4).map(|_| take_all(&pools, &connection())).collect();
    assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [500, 0, 0, 0]);
    assert_eq!(take_all(&pools, &Holders::default()).len(), 250, "half of the rest is free for another holder");
}

#[test]
fn the_last_permit_of_a_pool_can_be_taken() {
    let pools = pools(1);
    assert_eq!(take_all(&pools, &Holders::default()).len(), 1);
}

#[test]
fn a_dropped_permit_returns_everything_including_its_growth() {
    let pools = pools(100);
    let holder = Holders::default();
    let mut permit = pools.take(Resource::Work, &holder, 10).expect("there is room");
    assert!(permit.grow(&pools, 30));
    assert!(!permit.grow(&pools, 30), "it would hold more than is left");
    let others = pools.take(Resource::Work, &Holders::default(), 30).expect("there is room");
    assert!(permit.grow(&pools, 0), "growth by zero always succeeds");
    drop(others);
    assert_eq!(holder.connection.held(Resource::Work).load(Relaxed), 40);
    drop(permit);
    assert_eq!(holder.connection.held(Resource::Work).load(Relaxed), 0);
    assert_eq!(pools.pool(Resource::Work).permits.available_permits(), 100);
}

#[test]
fn a_shrunk_permit_returns_the_rest() {
    let pools = pools(100);
    let holder = Holders::default();
    let mut permit = pools.take(Resource::Work, &holder, 40).expect("there is room");
    permit.shrink(10);
    permit.shrink(30);
    assert_eq!(holder.connection.held(Resource::Work).load(Relaxed), 10);
    assert_eq!(pools.pool(Resource::Work).permits.available_permits(), 90);
}

#[tokio::test]
async fn a_holder_that_waits_for_room_gets_no_more_than_its_share() {
    let pools = pools(10);
    let (greedy, other): (Holders, Holders) = Default::default();
    let mut held = take_all(&pools, &greedy);
    assert_eq!(held.len(), 5);
    let room = pools.room(Resource::Work, &greedy, 1);
    tokio::pin!(room);
    assert!(futures::poll!(&mut room).is_pending(), "half of the pool is left, but this holder already has its share");
    let others = take_all(&pools, &other);
    drop(held.pop());
    assert!(futures::poll!(&mut room).is_pending(), "it holds 4, and 3 are left");
    drop(others);
    room.await;
}
