//! Shrinks a case that disagrees: first removes steps, by halves, quarters and so on down to single steps and calls,
//! then makes the numbers in the remaining ones smaller. Each attempt needs a database, so attempts and time are
//! bounded.

use std::time::Instant;

use proptest::{
    strategy::{Strategy as _, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use sha2::{Digest as _, Sha256};

use super::{
    drive::Drive,
    operations::Step,
    run::{Case, Failure, run},
    strategy::steps,
};

type Tree = Box<dyn ValueTree<Value = Step>>;

/// The audit runs for the first cases of a seed only, because it starts a process each time.
const AUDITED_CASES: u64 = 3;

/// The steps of one case, and the simpler forms of each.
struct Trees {
    beginning: u8,
    floors: [u8; 2],
    audited: bool,
    trees: Vec<Tree>,
}

impl Trees {
    fn case(&self) -> Case {
        let steps = self.trees.iter().map(ValueTree::current).collect();
        Case { beginning: self.beginning, floors: self.floors, steps, audited: self.audited }
    }
}

/// Generates the steps of a case. The same seed, case and number of operations give the same steps.
fn trees(drive: Drive, case: u64) -> Trees {
    let operations = drive.size(case);
    let bytes: [u8; 32] = Sha256::digest([drive.seed.to_be_bytes(), case.to_be_bytes()].concat()).into();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = steps().boxed();
    let (mut trees, mut count) = (Vec::new(), 0);
    while count < operations {
        let tree = strategy.new_tree(&mut runner).expect("nothing is rejected");
        count += tree.current().operations();
        trees.push(tree as Tree);
    }
    // Half of the venues begin without a floor.
    let floors = [bytes[1], bytes[2]].map(|byte| if byte % 2 == 0 { 0 } else { byte / 2 % 6 });
    Trees { beginning: bytes[0] % 3, floors, audited: case < AUDITED_CASES, trees }
}

impl Case {
    /// One case of a seed.
    pub fn of(drive: Drive, case: u64) -> Self {
        trees(drive, case).case()
    }
}

/// A case that was shrunk as far as possible.
#[derive(Debug)]
pub struct Shrunk {
    pub case: Case,
    pub failure: Failure,
    pub attempts: usize,
}

/// Shrinks a case that disagreed.
pub async fn shrink(drive: Drive, case: u64, failure: Failure) -> Shrunk {
    let mut trees = trees(drive, case);
    // The steps after the disagreement are irrelevant.
    trees.trees.truncate(failure.steps.max(1));
    let mut shrinker = Shrinker { trees, failure, attempts: 0, until: Instant::now() + drive.shrink_for };
    shrinker.fewer().await;
    shrinker.plainer().await;
    let case = shrinker.trees.case();
    Shrunk { case, failure: shrinker.failure, attempts: shrinker.attempts }
}

const ATTEMPTS_MAX: usize = 600;

struct Shrinker {
    trees: Trees,
    failure: Failure,
    attempts: usize,
    until: Instant,
}

impl Shrinker {
    fn over(&self) -> bool {
        self.attempts >= ATTEMPTS_MAX || Instant::now() >= self.until
    }

    /// Whether the case still disagrees.
    async fn fails(&mut self, case: &Case) -> bool {
        self.attempts += 1;
        match run(case).await {
            Ok(_) => false,
            Err(failure) => {
                self.failure = failure;
                true
            }
        }
    }

    async fn fewer(&mut self) {
        let mut size = self.trees.trees.len() / 2;
        while size > 0 {
            let mut from = 0;
            while from < self.trees.trees.len() && !self.over() {
                let case = self.trees.case();
                let to = (from + size).min(case.steps.len());
                let rest = case.steps[..from].iter().chain(&case.steps[to..]).cloned().collect();
                if self.fails(&Case { steps: rest, ..case }).await {
                    self.trees.trees.drain(from..to);
                    self.trees.trees.truncate(self.failure.steps.max(1));
                } else {
                    from = to;
                }
            }
            size /= 2;
        }
    }

    async fn plainer(&mut self) {
        for n in 0..self.trees.trees.len() {
            let mut may = self.trees.trees[n].simplify();
            while may && !self.over() {
                let case = self.trees.case();
                may = if self.fails(&case).await {
                    self.trees.trees[n].simplify()
                } else {
                    self.trees.trees[n].complicate()
                };
            }
            // The bound may interrupt an attempt, so this restores the smallest case that is known to fail.
            while may && self.trees.trees[n].complicate() {}
        }
    }
}
