use super::*;
use crate::module::text::Text;
use proptest::prelude::*;

proptest! {
    /// Some of a text that gives way has been read, and the receiver has more than that by another way: what comes behind is
    /// no part of it.
    #[test]
    fn who_acknowledges_what_was_not_read_ends_what_gives_way(
        start: u32,
        read in 1..200_usize,
        new in 0..62_usize,
        ahead in 1..100_000_u32,
        more in 0..2_000_usize,
    ) {
        let mut talk = Talk::new(ModuleKind::Irc);
        talk.begins(Direction::Out, start);
        let shift = &mut talk.shifts[Direction::Out as usize];
        shift.begin(start, Text::of(&vec![b'x'; new]));
        shift.go_on(read);
        let next = start.wrapping_add(count32(read));
        shift.next = Some(next);
        let distance = shift.distance();
        let far = next.wrapping_add(ahead);
        prop_assert_eq!(talk.acknowledged(Direction::Out, far.wrapping_add(distance)), far);
        talk.shifts[Direction::Out as usize].go_on(more);
        let shift = talk.shift(Direction::Out);
        prop_assert!(shift.is_settled());
        prop_assert_eq!((shift.next, shift.distance()), (Some(far), distance));
        let end = far.wrapping_add(count32(more));
        prop_assert_eq!([shift.start(end), shift.end(end)], [end.wrapping_add(distance); 2]);
        prop_assert_eq!(shift.back(end.wrapping_add(distance)), end);
        prop_assert!(talk.has_moved().is_some(), "it may go on in another run");
    }
}
