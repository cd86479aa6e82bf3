//! Which transactions a statement saw.

/// A snapshot as `pg_current_snapshot()` prints it: `xmin:xmax:xip,xip`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Snapshot {
    xmin: u64,
    xmax: u64,
    /// Those between that were running.
    running: Vec<u64>,
}

impl Snapshot {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let xmin = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|id| !id.is_empty());
        let running = running.map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.next().is_none().then_some(Snapshot { xmin, xmax, running })
    }

    /// Whether a transaction that has committed is visible. The log names it by
    /// the lower half of its id; the other half is that of the id closest to
    /// the snapshot, as no two that are compared are further apart.
    pub(crate) fn sees(&self, id: u32) -> bool {
        let id = self.whole(id);
        id < self.xmin || (id < self.xmax && !self.running.contains(&id))
    }

    /// Whether every transaction from one to another that has committed is
    /// visible. An older one that still runs does not matter.
    pub(crate) fn sees_all(&self, first: u32, last: u32) -> bool {
        let range = self.whole(first)..=self.whole(last);
        *range.end() < self.xmax && !self.running.iter().any(|id| range.contains(id))
    }

    /// Whether this one was taken before the other.
    pub(crate) fn is_before(&self, other: &Snapshot) -> bool {
        (self.xmax, self.xmin) < (other.xmax, other.xmin)
    }

    fn whole(&self, id: u32) -> u64 {
        const EPOCH: u64 = 1 << 32;
        let near = (self.xmax & !(EPOCH - 1)) | u64::from(id);
        match near.checked_sub(self.xmax) {
            Some(ahead) if ahead > EPOCH / 2 => near.checked_sub(EPOCH).unwrap_or(near),
            None if self.xmax - near > EPOCH / 2 => near + EPOCH,
            _ => near,
        }
    }
}

/// As Postgres prints it.
impl std::fmt::Display for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (index, id) in self.running.iter().enumerate() {
            write!(f, "{}{id}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Of many ids as the log has them the first and the last.
pub(super) type Ids = (u32, u32);

pub(super) fn widened(ids: Option<Ids>, by: Option<Ids>) -> Option<Ids> {
    match (ids, by) {
        (Some((a, b)), Some((c, d))) => Some((if later(a, c) == a { c } else { a }, later(b, d))),
        (one, other) => one.or(other),
    }
}

/// Of two ids as the log has them, the later one.
fn later(a: u32, b: u32) -> u32 {
    if b.wrapping_sub(a) < 1 << 31 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_is_what_had_ended() {
        let snapshot = Snapshot::parse("10:20:12,15").expect("parses");
        let seen: Vec<u32> = (8..22).filter(|id| snapshot.sees(*id)).collect();
        assert_eq!(seen, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
        assert!(snapshot.sees_all(13, 14) && snapshot.sees_all(1, 11) && snapshot.sees_all(16, 19));
        assert!(
            !snapshot.sees_all(11, 12) && !snapshot.sees_all(12, 12) && !snapshot.sees_all(14, 16)
        );
        assert!(!snapshot.sees_all(16, 20));
        assert_eq!(snapshot.to_string(), "10:20:12,15");
        for text in ["", "1", "1:2", "1:2:x", "1:2:3:4", "a:b:"] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_are_those_of_the_snapshots_epoch() {
        let epoch = 3u64 << 32;
        let text = format!("{}:{}:", epoch + 5, epoch + 5);
        let snapshot = Snapshot::parse(&text).expect("parses");
        assert!(snapshot.sees(4) && !snapshot.sees(5));
        // Before the epoch began, and after the one before it ended.
        assert!(snapshot.sees(u32::MAX));
        let late = Snapshot::parse(&format!("{}:{}:", epoch - 5, epoch - 5)).expect("parses");
        assert!(!late.sees(3) && late.sees(u32::MAX - 10) && !late.sees(u32::MAX));
        let first = Snapshot::parse("700:700:").expect("parses");
        assert!(first.sees(699) && !first.sees(u32::MAX));
        assert_eq!((later(1, 2), later(2, 1), later(u32::MAX, 1)), (2, 2, 1));
        assert_eq!(widened(Some((u32::MAX, 3)), Some((1, 2))), Some((u32::MAX, 3)));
        assert_eq!(widened(Some((4, 5)), Some((u32::MAX, 7))), Some((u32::MAX, 7)));
        assert_eq!(widened(None, Some((4, 5))), Some((4, 5)));
    }
}
