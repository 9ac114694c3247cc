//! The lives of one operator: the real controllers on a runtime of their own with a paused clock. A
//! crash drops the runtime and all that was in it; the next life begins with what is written down.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use scim_operator::controller::context::Options;
use scim_operator::controller::run::run;
use scim_operator::metrics::Metrics;
use scim_operator::scim::Fence;
use tokio::time::sleep;

use super::api::ApiServer;
use super::backend::{LONGEST, wire};
use super::world::World;

/// So many lives are enough for any number of faults: more is a crash loop.
const LIVES: u32 = 500;

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the panics of each thread, which a runtime would swallow with the task.
pub fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.with(|panics| panics.set(panics.get() + 1));
        usual(info);
    }));
}

/// What a script does in one life, and whether it came to its end.
pub trait Script {
    fn play(&mut self, world: &Arc<World>) -> impl Future<Output = ()>;
}

/// Plays a script to its end, in as many lives as it takes; how many tasks panicked.
pub fn live(world: &Arc<World>, script: &mut impl Script, seed: u64) -> u32 {
    fastrand::seed(seed);
    let before = PANICS.get();
    for _ in 0..LIVES {
        world.revive();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let done = runtime.block_on(async {
            let options = Options {
                scope_grace: std::time::Duration::from_secs(600),
                watched: Default::default(),
                allow_local_endpoints: true,
                use_system_proxy: false,
                longest_request: LONGEST,
                fence: Fence::none(),
                seat: None,
                metrics: Metrics::default(),
                wire: wire(world),
            };
            let client = Client::new(ApiServer(world.clone()), "default");
            tokio::select! {
                biased;
                () = world.killed() => false,
                () = script.play(world) => true,
                () = run(client, options, std::future::pending()) => panic!("the operator ended by itself"),
            }
        });
        drop(runtime);
        if done {
            return PANICS.get() - before;
        }
    }
    panic!("the operator crashes for ever");
}

/// Waits until nothing was asked of anybody for so long, or for so long in all.
pub async fn settle(world: &World, quiet: Duration, at_most: Duration) {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < at_most {
        let since = world.asked_at().map_or(begun, |asked| asked.max(begun));
        match quiet.checked_sub(since.elapsed()) {
            Some(left) if !left.is_zero() => sleep(left).await,
            _ => return,
        }
    }
}
