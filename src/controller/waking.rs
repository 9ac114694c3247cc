//! Wakes many users in small lots, the next when the last has begun: kube's queue is served in order, and
//! whoever is edited meanwhile would stand behind all of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use crate::controller::index::Key;
use crate::controller::kept::KeptUser;

/// So many at once are nobody's burden.
pub const FEW: usize = 100;
/// Whoever is gone begins no pass: then it goes on after so long.
const GONE: Duration = Duration::from_millis(100);

/// Tells when a pass has begun that is waited for.
#[derive(Debug, Default)]
pub struct Begun {
    awaited: Mutex<Option<Key>>,
    begun: Notify,
}

impl Begun {
    /// The pass of this one begins.
    pub fn tell(&self, key: &Key) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if awaited.as_ref() == Some(key) {
            *awaited = None;
            self.begun.notify_one();
        }
    }

    fn expect(&self, key: Key) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        *awaited = Some(key);
    }
}

/// Wakes those who are handed over, lot after lot, for as long as somebody may hand over more.
pub async fn wake_in_lots(
    mut many: tokio::sync::mpsc::UnboundedReceiver<Vec<Key>>,
    wake: UnboundedSender<ObjectRef<KeptUser>>,
    begun: Arc<Begun>,
) {
    while let Some(keys) = many.recv().await {
        for lot in keys.chunks(FEW) {
            let Some(last) = lot.last() else { continue };
            begun.expect(last.clone());
            for key in lot {
                // The receiver lives as long as the controller; after it there is nobody to wake.
                let _ = wake.unbounded_send(key.reference());
            }
            let _ = tokio::time::timeout(GONE, begun.begun.notified()).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::channel::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lot_waits_for_the_last_one_and_for_nobody_who_is_gone() {
        let (hand_over, many) = tokio::sync::mpsc::unbounded_channel();
        let (wake, mut woken) = mpsc::unbounded();
        let begun = Arc::new(Begun::default());
        tokio::spawn(wake_in_lots(many, wake, begun.clone()));
        let keys: Vec<Key> = (0..FEW * 3)
            .map(|n| Key::new("team", n.to_string()))
            .collect();
        hand_over.send(keys.clone()).unwrap();
        let mut take = async || {
            let mut seen = 0;
            tokio::time::sleep(Duration::from_millis(1)).await;
            while woken.try_recv().is_ok() {
                seen += 1;
            }
            seen
        };
        assert_eq!(take().await, FEW);
        assert_eq!(take().await, 0);
        begun.tell(&keys[0]);
        assert_eq!(take().await, 0, "not the last one");
        begun.tell(&keys[FEW - 1]);
        assert_eq!(take().await, FEW);
        tokio::time::sleep(GONE).await;
        assert_eq!(take().await, FEW, "the last one was gone");
    }
}
