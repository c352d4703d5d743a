//! The record of ops: one test, since the record is the process's.

use autograd::Tape;
use autograd::profile::{Event, Kind, finish, span, start};
use tensor::Tensor;

#[test]
fn ops_and_their_derivatives_leave_events_with_what_they_computed() {
    let pass = || {
        let tape: Tape = Tape::new();
        let x = tape.leaf(Tensor::ones([4, 8]));
        let _span = span("pass");
        let y = x.matmul(&x.transpose(0, 1));
        tape.backward(&y.sum_all());
    };
    pass();
    start();
    pass();
    let events = finish();
    let find = |name, kind| -> &Event {
        let mut found = events.iter().filter(|event| (event.name, event.kind) == (name, kind));
        let event = found.next().unwrap_or_else(|| panic!("{name} {kind:?} in {events:?}"));
        assert!(found.next().is_none(), "{name} ran once while the record was on");
        event
    };
    let product = 2 * 4 * 4 * 8;
    assert_eq!(find("matmul", Kind::Forward).counts.flop, product);
    assert_eq!(find("matmul", Kind::Forward).counts.written, 4 * 4 * 4);
    assert_eq!(find("matmul", Kind::Forward).counts.live, 4 * 4 * 4);
    assert_eq!(find("matmul", Kind::Backward).counts.flop, 2 * product);
    let whole = find("pass", Kind::Span);
    assert_eq!(whole.counts.flop, 3 * product);
    for event in events.iter().filter(|event| event.kind == Kind::Backward) {
        assert!(event.start >= whole.start);
        assert!(event.start + event.duration <= whole.start + whole.duration);
    }
    pass();
    assert!(finish().is_empty(), "nothing is recorded after the end");
}
