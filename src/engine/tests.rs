//! What only the engine itself can see: that nothing is left behind.

use std::time::Duration;

use super::*;

#[test]
fn who_is_held_back_and_goes_leaves_the_queue() {
    let now = Now { monotonic: Duration::ZERO, unix_us: 1_893_456_000_000_000 };
    let mut engine = Engine::new(Config::default(), Environment::simulated(1), now);
    engine.connect(1, Peer::in_process(), now);
    engine.receive(1, b"CLIENT PAUSE 100000 WRITE\r\n", now);
    for _ in 0..100 {
        engine.connect(2, Peer::in_process(), now);
        engine.receive(2, b"SET a 1\r\n", now);
        assert_eq!(engine.paused.len(), 1);
        engine.disconnect(2);
        assert!(engine.paused.is_empty());
    }
}
