//! Signals that servers do not pass on, and the end of what runs when we or the connection are gone: by a second channel
//! of the same connection, which prints nothing and so cannot hold it up. What it runs is the caller's affair: see
//! [`Guard::line`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connection::{Connection, Purpose};

/// How a process is found over there.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// A line for the login shell. It reads names of signals, a line each, and sends them to the process group that it
    /// knows. If its input ends without `done`, it ends the group.
    pub(crate) line: Vec<u8>,
    /// Whether it is needed for all signals: the process is another user's.
    pub(crate) always: bool,
}

/// A guard at work.
pub(super) struct Guarding {
    names: mpsc::UnboundedSender<Word>,
    opening: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

enum Word {
    Signal(String),
    Done,
}

impl Guarding {
    /// Starts it, without waiting for it.
    pub(super) fn start(connection: Arc<Connection>, line: Vec<u8>) -> Guarding {
        let (names, words) = mpsc::unbounded_channel();
        let opening = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&opening);
        let task = tokio::spawn(async move {
            let worked = work(&connection, line, words, &still).await;
            still.store(false, Ordering::Release);
            if let Err(error) = worked {
                tracing::debug!(%error, "guard");
            }
        });
        Guarding { names, opening, task }
    }

    /// Whether it waits for the server's answer.
    pub(super) fn is_opening(&self) -> bool {
        self.opening.load(Ordering::Acquire)
    }

    pub(super) fn signal(&self, name: String) {
        let _ = self.names.send(Word::Signal(name));
    }

    /// There is nothing to guard any more. If it has not begun it need not.
    pub(super) async fn done(self) {
        if self.is_opening() {
            self.task.abort();
        } else {
            let _ = self.names.send(Word::Done);
        }
        drop(self.names);
        let _ = self.task.await;
    }

    /// Ends what it guards.
    pub(super) async fn end(self) {
        drop(self.names);
        let _ = self.task.await;
    }
}

async fn work(
    connection: &Connection,
    line: Vec<u8>,
    mut words: mpsc::UnboundedReceiver<Word>,
    opening: &AtomicBool,
) -> Result<(), super::failure::Fault> {
    let purpose = Purpose::Command { line: Some(line), terminal: None };
    // What it prints is nothing, and its end is nobody's business.
    let (_, writing) = connection.channel(&purpose).await?.split();
    opening.store(false, Ordering::Release);
    while let Some(word) = words.recv().await {
        match word {
            Word::Signal(name) => writing.data_bytes(format!("{name}\n").into_bytes()).await?,
            Word::Done => {
                writing.data_bytes(&b"done\n"[..]).await?;
                break;
            }
        }
    }
    writing.eof().await?;
    Ok(())
}
