//! A channel on the bridge: between the connection and the descriptors of a process.
//!
//! What russh has received for a channel it hands out through a short queue, and while that is full it neither reads nor
//! writes on the whole connection; nor can its window be kept small. So a connection carries one process at a time, and
//! what is said here to the one whose output is stuck (signals, sizes, typing) makes room for some more of it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use thither_place::{Exit, WindowSize};
use thither_term::{Interest, poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

use super::connection::Connection;
use super::guard::{Guard, Guarding};
use super::pool::Lease;
use super::signals;
use crate::bridge::Bell;

/// What is held of the output of a process that nobody reads, in bytes; then the connection waits.
const HOLD: usize = 1024 * 1024;
/// By how much more at once, in messages of at most 32 KiB, so that something gets past it the other way. Each has an
/// even chance (tokio's `select!`), so after all of them it went.
const MAKE_ROOM: usize = 40;
/// What is held at most.
const HOLD_AT_MOST: usize = 8 * HOLD;
/// What has ended by then needs no guard, and most have.
const GUARD_AFTER: Duration = Duration::from_millis(20);
/// What has not ended so long after its terminal is gone loses its channel, and so the terminal over there: it may ignore
/// HUP, or sshd may have lost that, as it does while it starts a program.
const HANG_UP: Duration = Duration::from_secs(1);
/// What is read of an input at once, in bytes: as much as fits into a packet of ssh, RFC 4253 section 6.1.
const CHUNK: usize = 32 * 1024;

pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// The bridge's ends of the streams; `None` where nobody wants one.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) input: Option<Reader>,
    pub(super) output: Option<Writer>,
    pub(super) errors: Option<Writer>,
    /// For a socket: a look at whether its other end is closed in both directions, once it was in one.
    pub(super) socket: Option<std::os::unix::net::UnixStream>,
    /// Whether what is typed must get through while the output is stuck.
    pub(super) typed: bool,
}

/// What a process is told.
#[derive(Debug)]
pub(super) enum Tell {
    Resize(WindowSize),
    /// By its Linux number.
    Signal(i32),
    /// Nobody holds it any more. Whether it is to end.
    LetGo(bool),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exit(Exit),
    /// By a signal that has no number here.
    Signal(String),
    /// Nobody read its output 0 or 1, and it could not be told: nobody knows.
    Unread(usize),
    Lost,
}

/// What both sides of the bridge know.
#[derive(Debug)]
pub(super) struct Shared {
    end: Mutex<Option<End>>,
    /// Rings at the end.
    pub(super) bell: Arc<Bell>,
}

impl Shared {
    pub(super) fn new() -> io::Result<Arc<Shared>> {
        Ok(Arc::new(Shared { end: Mutex::new(None), bell: Bell::new()? }))
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first one counts.
    fn ends(&self, end: End) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
        self.bell.ring();
    }
}

/// Says that it is lost, if nothing better was said: when the task panics, or the thread ends.
struct LostOnDrop(Arc<Shared>);

impl Drop for LostOnDrop {
    fn drop(&mut self) {
        self.0.ends(End::Lost);
    }
}

/// What is known of a process besides its streams.
#[derive(Default)]
pub(super) struct About {
    /// What goes into its input first.
    pub(super) preface: Vec<u8>,
    /// Who guards it.
    pub(super) guard: Option<Guard>,
    /// Whether it needs no guard against a loss: its terminal ends it.
    pub(super) has_terminal: bool,
}

/// Moves everything until the channel and its streams have ended. The lease is held as long.
pub(super) async fn carry(
    channel: Channel<Msg>,
    about: About,
    ends: Ends,
    tell: mpsc::UnboundedReceiver<Tell>,
    shared: Arc<Shared>,
    lease: Lease,
) {
    let lost = LostOnDrop(Arc::clone(&shared));
    let (reading, writing) = channel.split();
    let writing = Arc::new(writing);
    let pressed = Arc::new(Notify::new());
    let Ends { input, output, errors, socket, typed } = ends;
    let pressing = typed.then(|| Arc::clone(&pressed));
    let into = Into { preface: about.preface, source: input, socket, pressed: pressing };
    let (left, leaving) = mpsc::channel(1);
    let feeding = tokio::spawn(feed(into, Arc::clone(&writing), left));
    let (orders, ordered) = mpsc::unbounded_channel();
    let giving = tokio::spawn(give(ordered, writing));
    let carrier = Carrier {
        reading,
        orders,
        giving,
        outputs: [Sink::new(output), Sink::new(errors)],
        room: 0,
        exit: None,
        connection: lease.shared(),
        guard: about.guard,
        guarding: None,
        has_terminal: about.has_terminal,
        unread: None,
    };
    let end = carrier.run(tell, leaving, pressed).await;
    feeding.abort();
    // Before anybody hears of the end: the next one may want the connection at once.
    drop(lease);
    if let Some(end) = end {
        shared.ends(end);
    }
    drop(lost);
}

/// The way into a process.
struct Into {
    preface: Vec<u8>,
    source: Option<Reader>,
    socket: Option<std::os::unix::net::UnixStream>,
    pressed: Option<Arc<Notify>>,
}

/// Sends the preface and the input, and their end. Says by `left` that nobody is at the other end of the socket.
async fn feed(into: Into, writing: Arc<ChannelWriteHalf<Msg>>, left: mpsc::Sender<()>) {
    let Into { preface, source, socket, pressed } = into;
    let sent = async {
        if !preface.is_empty() {
            writing.data_bytes(preface).await?;
        }
        if let Some(mut source) = source {
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                // A source that fails has ended.
                if source.read_buf(&mut chunk).await.unwrap_or(0) == 0 {
                    break;
                }
                if let Some(pressed) = &pressed {
                    pressed.notify_one();
                }
                writing.data_bytes(chunk).await?;
            }
        }
        writing.eof().await
    };
    if let Err(error) = sent.await {
        tracing::debug!(%error, "input");
    }
    let hung_up = |socket| poll(&[Interest::HangUp(socket)], Some(Duration::ZERO));
    if let Some(socket) = socket
        && hung_up(socket.as_fd()).is_ok_and(|ready| ready[0].hang_up)
    {
        let _ = left.try_send(());
    }
    // While the sender lives, `leaving` waits.
    std::future::pending::<()>().await;
}

/// What is sent to the server besides data.
enum Order {
    Resize(WindowSize),
    Signal(Sig),
    Close,
}

/// Sends orders, in a task of its own: to get one out, a connection that is stuck has to be read.
async fn give(mut orders: mpsc::UnboundedReceiver<Order>, writing: Arc<ChannelWriteHalf<Msg>>) {
    while let Some(order) = orders.recv().await {
        let given = match order {
            Order::Resize(size) => {
                writing.window_change(u32::from(size.cols), u32::from(size.rows), 0, 0).await
            }
            Order::Signal(signal) => writing.signal(signal).await,
            Order::Close => writing.close().await,
        };
        // A connection that is gone says so by the end of what is read.
        if let Err(error) = given {
            tracing::debug!(%error, "channel");
        }
    }
}

/// Bytes as russh hands them out, so that they are not copied.
type Chunk = Box<dyn AsRef<[u8]> + Send + Sync>;

/// What a chunk costs besides its bytes: a server may send them one by one.
const COST: usize = 512;

/// One way out.
struct Sink {
    to: Option<Writer>,
    queue: VecDeque<Chunk>,
    /// How much of the first chunk is written.
    start: usize,
    /// What the queue costs, in bytes.
    held: usize,
    ending: bool,
}

impl Sink {
    fn new(to: Option<Writer>) -> Sink {
        Sink { to, queue: VecDeque::new(), start: 0, held: 0, ending: false }
    }

    fn push(&mut self, bytes: impl AsRef<[u8]> + Send + Sync + 'static) {
        let length = bytes.as_ref().len();
        if self.to.is_some() && length > 0 {
            self.held += length + COST;
            self.queue.push_back(Box::new(bytes));
        }
    }

    fn is_waiting(&self) -> bool {
        self.to.is_some() && (self.held > 0 || self.ending)
    }

    /// Writes once, or ends the stream. `false`: nobody reads it any more.
    async fn go_on(&mut self) -> bool {
        let (Some(to), Some(first)) = (&mut self.to, self.queue.front()) else {
            // All is written.
            if let Some(mut to) = self.to.take() {
                let _ = to.shutdown().await;
            }
            return true;
        };
        let first = (**first).as_ref();
        match to.write(&first[self.start..]).await {
            Ok(written) if written > 0 => {
                self.start += written;
                if self.start == first.len() {
                    self.held -= first.len() + COST;
                    self.queue.pop_front();
                    self.start = 0;
                }
                true
            }
            _ => {
                *self = Sink::new(None);
                false
            }
        }
    }
}

/// The way out of a process, and what it is told.
struct Carrier {
    reading: ChannelReadHalf,
    orders: mpsc::UnboundedSender<Order>,
    giving: JoinHandle<()>,
    outputs: [Sink; 2],
    /// How many messages are read beyond [`HOLD`].
    room: usize,
    exit: Option<End>,
    connection: Arc<Connection>,
    guard: Option<Guard>,
    guarding: Option<Guarding>,
    has_terminal: bool,
    /// The first output that nobody reads any more.
    unread: Option<usize>,
}

impl Carrier {
    /// The end, or `None` if it was let go of.
    async fn run(
        mut self,
        mut tell: mpsc::UnboundedReceiver<Tell>,
        mut leaving: mpsc::Receiver<()>,
        pressed: Arc<Notify>,
    ) -> Option<End> {
        let mut over = false;
        let guards = self.guard.is_some() && !self.has_terminal;
        let unguarded = sleep(GUARD_AFTER);
        tokio::pin!(unguarded);
        let mut hung_up = None;
        loop {
            let [output, errors] = &mut self.outputs;
            if over && !output.is_waiting() && !errors.is_waiting() {
                if let Some(guarding) = self.guarding.take() {
                    guarding.done().await;
                }
                return Some(self.exit.unwrap_or(End::Lost));
            }
            let held = output.held + errors.held;
            let opening = self.guarding.as_ref().is_some_and(Guarding::is_opening);
            let has_room = self.room > 0 || (opening && held < HOLD_AT_MOST);
            let may_read = !over && (held < HOLD || has_room);
            tokio::select! {
                message = self.reading.wait(), if may_read => {
                    if held >= HOLD {
                        self.room = self.room.saturating_sub(1);
                    }
                    over = self.received(message);
                }
                read = output.go_on(), if output.is_waiting() => if !read {
                    self.unread(0);
                },
                read = errors.go_on(), if errors.is_waiting() => if !read {
                    self.unread(1);
                },
                told = tell.recv() => match told {
                    Some(Tell::Resize(size)) => self.order(Order::Resize(size)),
                    Some(Tell::Signal(signal)) => self.signal(signal),
                    Some(Tell::LetGo(ends)) => return self.let_go(ends).await,
                    None => return self.let_go(true).await,
                },
                Some(()) = leaving.recv() => match self.has_terminal {
                    true => {
                        self.order(Order::Signal(Sig::HUP));
                        hung_up = Some(Box::pin(sleep(HANG_UP)));
                    }
                    false => return self.let_go(true).await,
                },
                () = until(&mut hung_up), if hung_up.is_some() && !over => {
                    self.let_go(true).await;
                    return Some(End::Unread(0));
                },
                () = pressed.notified() => self.make_room(),
                () = &mut unguarded, if guards && self.guarding.is_none() && !over => self.watch_over(),
            }
            // It cannot be told by a signal: it will notice that nobody is there.
            if let Some(which) = self.unread.filter(|_| self.guard.is_none() && self.exit.is_none())
            {
                self.let_go(false).await;
                return Some(End::Unread(which));
            }
        }
    }

    fn make_room(&mut self) {
        let held: usize = self.outputs.iter().map(|sink| sink.held).sum();
        if held < HOLD_AT_MOST {
            self.room = MAKE_ROOM;
        }
    }

    fn order(&mut self, order: Order) {
        self.make_room();
        let _ = self.orders.send(order);
    }

    fn watch_over(&mut self) {
        if let Some(guard) = self.guard.as_ref().filter(|_| self.guarding.is_none()) {
            let connection = Arc::clone(&self.connection);
            self.guarding = Some(Guarding::start(connection, guard.line.clone()));
        }
    }

    fn signal(&mut self, signal: i32) {
        let always = self.guard.as_ref().is_some_and(|guard| guard.always);
        match signals::passed_on(signal).filter(|_| !always) {
            Some(name) => self.order(Order::Signal(name)),
            None => {
                self.watch_over();
                if let (Some(guarding), Some(name)) = (&self.guarding, signals::name(signal)) {
                    guarding.signal(name);
                }
                self.make_room();
            }
        }
    }

    /// A process whose output nobody reads gets the signal that a local one would get that writes it; one whose terminal
    /// is gone was told so when it went.
    fn unread(&mut self, which: usize) {
        if self.unread.is_none() && !self.has_terminal {
            self.unread = Some(which);
            self.signal(libc::SIGPIPE);
        }
    }

    /// Says whether it was the last message.
    fn received(&mut self, message: Option<ChannelMsg>) -> bool {
        let [output, errors] = &mut self.outputs;
        match message {
            Some(ChannelMsg::Data { data }) => output.push(data),
            // SSH_EXTENDED_DATA_STDERR, RFC 4254 section 5.2; there is no other.
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => errors.push(data),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                // Windows' may be that large; it is no success.
                let code = i32::try_from(exit_status).unwrap_or(i32::MAX);
                self.exit.get_or_insert(End::Exit(Exit::Code(code)));
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.exit.get_or_insert(signals::end(&signal_name));
            }
            Some(ChannelMsg::Eof) => (output.ending, errors.ending) = (true, true),
            Some(ChannelMsg::Close) | None => {
                (output.ending, errors.ending) = (true, true);
                return true;
            }
            Some(_) => {}
        }
        false
    }

    async fn let_go(self, ends: bool) -> Option<End> {
        let Carrier { reading, orders, giving, exit, guarding, .. } = self;
        // A connection that waits for us to read goes on.
        drop(reading);
        if ends && exit.is_none() {
            let _ = orders.send(Order::Signal(Sig::HUP));
        }
        let _ = orders.send(Order::Close);
        drop(orders);
        let _ = giving.await;
        match guarding {
            Some(guarding) if ends && exit.is_none() => guarding.end().await,
            Some(guarding) => guarding.done().await,
            None => {}
        }
        None
    }
}

/// Waits for a time that is set.
async fn until(time: &mut Option<Pin<Box<Sleep>>>) {
    if let Some(time) = time {
        time.await;
    }
}

/// Both directions of a socket.
pub(super) fn socket_ends(socket: std::os::unix::net::UnixStream) -> io::Result<Ends> {
    let look = socket.try_clone()?;
    socket.set_nonblocking(true)?;
    let (input, output) = UnixStream::from_std(socket)?.into_split();
    Ok(Ends {
        input: Some(Box::new(input)),
        output: Some(Box::new(output)),
        errors: None,
        socket: Some(look),
        typed: true,
    })
}
