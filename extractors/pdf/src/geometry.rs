//! Rectangles and turns, in points, y upwards, as PDF has them.

/// A rectangle. `left <= right` and `bottom <= top`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rect {
    pub(crate) left: f32,
    pub(crate) bottom: f32,
    pub(crate) right: f32,
    pub(crate) top: f32,
}

impl Rect {
    /// The rectangle with these sides, in whatever order they come; none if one is no number.
    pub(crate) fn of(x0: f32, y0: f32, x1: f32, y1: f32) -> Option<Self> {
        let finite = [x0, y0, x1, y1].into_iter().all(|side| side.is_finite() && side.abs() < FARTHEST);
        finite.then(|| Self { left: x0.min(x1), bottom: y0.min(y1), right: x0.max(x1), top: y0.max(y1) })
    }

    pub(crate) fn width(&self) -> f32 {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> f32 {
        self.top - self.bottom
    }

    pub(crate) fn area(&self) -> f32 {
        self.width() * self.height()
    }

    pub(crate) fn middle(&self) -> (f32, f32) {
        ((self.left + self.right) / 2.0, (self.bottom + self.top) / 2.0)
    }

    pub(crate) fn contains(&self, (x, y): (f32, f32)) -> bool {
        self.left <= x && x <= self.right && self.bottom <= y && y <= self.top
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self {
            left: self.left.min(other.left),
            bottom: self.bottom.min(other.bottom),
            right: self.right.max(other.right),
            top: self.top.max(other.top),
        }
    }

    /// What both share; empty if nothing.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let (left, bottom) = (self.left.max(other.left), self.bottom.max(other.bottom));
        Self { left, bottom, right: self.right.min(other.right).max(left), top: self.top.min(other.top).max(bottom) }
    }

    /// How much of their height two rectangles share, in points; negative if they are apart.
    pub(crate) fn shared_height(&self, other: &Self) -> f32 {
        self.top.min(other.top) - self.bottom.max(other.bottom)
    }

    /// How much of their width two rectangles share, in points; negative if they are apart.
    pub(crate) fn shared_width(&self, other: &Self) -> f32 {
        self.right.min(other.right) - self.left.max(other.left)
    }
}

/// What lies farther out is no place on any page, and would only take the precision from what is.
const FARTHEST: f32 = 1e6;

/// A turn that makes text of one direction run from left to right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Turn {
    cosine: f32,
    sine: f32,
}

impl Turn {
    /// Turns back what was turned by `degrees` counterclockwise.
    pub(crate) fn back(degrees: i32) -> Self {
        // Exact where it matters: what is upright stays where it is.
        let (sine, cosine) = match degrees.rem_euclid(360) {
            0 => (0.0, 1.0),
            90 => (1.0, 0.0),
            180 => (0.0, -1.0),
            270 => (-1.0, 0.0),
            other => {
                let radians = (other as f32).to_radians();
                (radians.sin(), radians.cos())
            }
        };
        Self { cosine, sine }
    }

    /// Whether what is level stays level.
    pub(crate) fn is_upright(&self) -> bool {
        self.cosine.abs() > self.sine.abs()
    }

    pub(crate) fn point(&self, (x, y): (f32, f32)) -> (f32, f32) {
        (x * self.cosine + y * self.sine, y * self.cosine - x * self.sine)
    }

    pub(crate) fn rect(&self, rect: &Rect) -> Rect {
        if self.cosine == 1.0 {
            return *rect;
        }
        let corners = [(rect.left, rect.bottom), (rect.left, rect.top), (rect.right, rect.bottom), (rect.right, rect.top)];
        let [first, rest @ ..] = corners.map(|corner| self.point(corner));
        let point = Rect { left: first.0, bottom: first.1, right: first.0, top: first.1 };
        rest.into_iter().fold(point, |all, (x, y)| all.union(&Rect { left: x, bottom: y, right: x, top: y }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_back_undoes_a_quarter_turn() {
        let upwards = Rect { left: 10.0, bottom: 20.0, right: 12.0, top: 60.0 };
        let level = Turn::back(90).rect(&upwards);
        assert_eq!(level, Rect { left: 20.0, bottom: -12.0, right: 60.0, top: -10.0 });
        assert_eq!(Turn::back(0).rect(&upwards), upwards);
        assert_eq!(Turn::back(360).point((1.0, 2.0)), (1.0, 2.0));
    }

    #[test]
    fn places_that_are_none_are_refused() {
        assert!(Rect::of(0.0, f32::NAN, 1.0, 1.0).is_none());
        assert!(Rect::of(0.0, 0.0, 1e30, 1.0).is_none());
        assert_eq!(Rect::of(5.0, 6.0, 1.0, 2.0), Some(Rect { left: 1.0, bottom: 2.0, right: 5.0, top: 6.0 }));
    }
}
