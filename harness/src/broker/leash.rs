//! A process that cannot outlive this one, however this one ends.
//!
//! A watcher, a shell, holds one end of a pipe whose other end only we hold. When we are gone the kernel closes it, and
//! the watcher kills the process: with SIGKILL, which also ends a frozen one. (The kernel's own death signal of Linux
//! follows the thread that spawned a child, so it would come when a test's thread ends.)

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Waits for the watcher to be there before it becomes the program; without a word it ends.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// A line means that the process is gone already; the end of the pipe, that we are.
const WATCH: &str = r#"trap "" HUP INT TERM; read -r gone || kill -KILL "$1""#;

/// A child process that is killed when this value, or the process that has it, is gone.
#[derive(Debug)]
pub(super) struct Leashed {
    child: Child,
    watcher: Child,
    /// How the child ended, once it has.
    ended: Option<ExitStatus>,
}

impl Leashed {
    /// Starts `program` in `dir`; what it prints is appended to `log`.
    pub fn spawn(program: &Path, arguments: &[&str], dir: &Path, log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut gate = shell(GATE);
        gate.arg(program).args(arguments).current_dir(dir);
        let mut child = gate.stdout(log.try_clone()?).stderr(log).spawn()?;
        let watcher = shell(WATCH)
            .arg(child.id().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let gate = child.stdin.take();
        let leashed = Leashed {
            child,
            watcher,
            ended: None,
        };
        gate.expect("the standard input is a pipe").write_all(b"go\n")?;
        Ok(leashed)
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended; `None` while it runs.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
            if self.ended.is_some() {
                self.release();
            }
        }
        Ok(self.ended)
    }

    /// Sends `signal`, unless the process has ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_none() {
            kill(self.nix_pid(), signal)?;
        }
        Ok(())
    }

    /// Stops the process in its tracks; on Linux it has stopped when this returns.
    pub fn freeze(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGSTOP)?;
        #[cfg(target_os = "linux")]
        if self.ended.is_none() {
            use nix::sys::wait::{Id, WaitPidFlag, waitid};
            // One that ends instead is not waited for either, and `ended` still sees how.
            let either = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            waitid(Id::Pid(self.nix_pid()), either)?;
        }
        Ok(())
    }

    /// It cannot be another process's number: the dead keep theirs until we ask how they ended.
    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("the system numbers processes so"))
    }

    /// Ends the process at once; it is gone when this returns.
    pub fn kill(&mut self) -> io::Result<()> {
        if self.ended()?.is_none() {
            self.child.kill()?;
            self.ended = Some(self.child.wait()?);
            self.release();
        }
        Ok(())
    }

    /// Tells the watcher that nothing is left to watch: the number may soon be another process's.
    fn release(&mut self) {
        if let Some(mut pipe) = self.watcher.stdin.take() {
            // A watcher that is gone needs no word.
            let _ = pipe.write_all(b"gone\n");
        }
        let _ = self.watcher.wait();
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A shell that reads our pipe, in a process group of its own: Ctrl-C in the terminal reaches us alone.
fn shell(script: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).stdin(Stdio::piped()).process_group(0);
    shell
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::patience::until;
    use super::*;

    #[test]
    fn a_process_runs_in_its_directory_and_is_seen_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sleeper(dir.path(), "pwd; echo oops >&2; exit 3");
        let ended = until(Duration::from_secs(10), || process.ended().unwrap());
        assert_eq!(ended.and_then(|status| status.code()), Some(3));
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(log, format!("{}\noops\n", dir.path().canonicalize().unwrap().display()));
    }

    #[test]
    fn a_frozen_process_hears_nothing_until_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sleeper(dir.path(), "exec cat fifo");
        process.freeze().unwrap();
        process.signal(Signal::SIGTERM).unwrap();
        assert_eq!(process.ended().unwrap(), None);
        process.signal(Signal::SIGCONT).unwrap();
        assert!(until(Duration::from_secs(10), || process.ended().unwrap()).is_some());
    }

    #[test]
    fn a_frozen_process_is_killed_when_the_watchers_pipe_closes() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sleeper(dir.path(), "exec cat fifo");
        process.freeze().unwrap();
        // As the kernel does for an owner that is gone.
        drop(process.watcher.stdin.take());
        let ended = until(Duration::from_secs(10), || process.ended().unwrap()).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
    }

    /// A shell that runs `script` beside a fifo nobody writes to.
    fn sleeper(dir: &Path, script: &str) -> Leashed {
        assert!(Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap().success());
        Leashed::spawn(Path::new("/bin/sh"), &["-c", script], dir, &dir.join("log")).unwrap()
    }
}
