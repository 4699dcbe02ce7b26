//! Whether the machine, and not who was asked, is to blame.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// Whether descriptors, processes or memory have run out, somewhere in the causes of `error`.
///
/// That passes by itself, and nobody who met it is broken: a worker whose process could not be started is no worse than
/// the next one, and a host that could not be connected to is none the wiser.
#[must_use]
pub fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if error.raw_os_error().is_some_and(is_short) {
                return true;
            }
            // What an IO error wraps is none of its causes: it is itself.
            if error.get_ref().is_some_and(|wrapped| is_shortage(wrapped)) {
                return true;
            }
        }
        next = error.source();
    }
    false
}

fn is_short(code: i32) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOBUFS].iter().any(|errno| errno.raw_os_error() == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessError;

    fn system(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn what_has_run_out_is_found_among_the_causes() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOBUFS] {
            assert!(is_shortage(&system(errno)), "{errno}");
            assert!(is_shortage(&io::Error::other(system(errno))), "{errno} in another");
            assert!(is_shortage(&ProcessError::Minder(system(errno))), "{errno} as a cause");
        }
    }

    #[test]
    fn what_is_broken_is_not_short() {
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::CONNREFUSED, Errno::NOSPC, Errno::NOEXEC] {
            assert!(!is_shortage(&ProcessError::Minder(system(errno))), "{errno}");
        }
        assert!(!is_shortage(&io::Error::other("the minder ended before the start")));
    }
}
