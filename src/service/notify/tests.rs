use std::sync::Barrier;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::time::sleep;

use super::*;
use crate::event::ControlsEvent;
use crate::port::controls::InForce;

const LONG: Duration = Duration::from_secs(60);
const QUICK: Pace = Pace { look_every: Duration::from_millis(10), longest_start: LONG };
/// In microseconds.
const WATCHDOG: &str = "20000";

/// A service manager that takes down what it is told.
struct Told {
    environment: Environment,
    messages: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Told {
    fn listen(watchdog: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let messages = Arc::<Mutex<Vec<String>>>::default();
        let taken = Arc::clone(&messages);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer).await {
                taken.lock().push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
        });
        let environment = Environment::of([("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", watchdog)]);
        Self { environment, messages, _folder: folder }
    }

    fn start(&self, pace: Pace, health: &Arc<Health>, drain: &CancellationToken) -> Arc<dyn Observer> {
        let manager = Manager { pace, ..Manager::of(&self.environment) };
        let observer = manager.observer();
        manager.start(subject(health, drain));
        observer
    }

    fn count(&self, line: &str) -> usize {
        self.messages.lock().iter().flat_map(|message| message.lines()).filter(|told| *told == line).count()
    }

    async fn until(&self, line: &str, times: usize) {
        let began = Instant::now();
        while self.count(line) < times {
            assert!(began.elapsed() < LONG, "{line} did not come: {:?}", self.messages);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn subject(health: &Arc<Health>, drain: &CancellationToken) -> Subject {
    let (health, drain) = (Arc::clone(health), drain.clone());
    Subject { health, reload: Reload::default(), drain, drain_timeout: Duration::from_secs(25) }
}

fn started() -> Event<'static> {
    LifecycleEvent::Started { worker: "w", concurrency: 8 }.into()
}

fn running(health: Health) -> Arc<Health> {
    health.observe(&started());
    Arc::new(health)
}

/// Waits for as long as another worker of the same pace takes to be petted so often.
async fn pets(times: usize) {
    let told = Told::listen(WATCHDOG);
    let _observer = told.start(QUICK, &running(Health::default()), &CancellationToken::new());
    told.until("WATCHDOG=1", times).await;
}

/// Guards against: `pet` without asking for liveness.
#[tokio::test]
async fn a_wedged_worker_is_not_petted_and_says_what_stands_still() {
    let told = Told::listen(WATCHDOG);
    told.start(QUICK, &running(Health::new(Duration::ZERO)), &CancellationToken::new());
    pets(20).await;
    told.until("STATUS=Stands still: no sign of life from worker, completer, lease_keeper", 1).await;
    assert_eq!(told.count("WATCHDOG=1"), 0, "{:?}", told.messages);
}

/// Guards against: the whole limit between two pets.
#[tokio::test]
async fn a_worker_that_makes_progress_is_petted_at_half_of_the_limit() {
    let told = Told::listen("400000");
    let began = Instant::now();
    told.start(QUICK, &running(Health::default()), &CancellationToken::new());
    told.until("WATCHDOG=1", 6).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(5 * 200 - 50), "six pets, and five pauses, took {took:?}");
    let most = took.as_millis() / 200 + 1;
    assert!(told.count("WATCHDOG=1") as u128 <= most, "{:?}", told.messages);
}

/// Guards against: a task on a runtime of its own.
#[test]
fn a_runtime_that_runs_no_tasks_pets_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let environment = Environment::of([("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")]);
    let _inside = runtime.enter();
    let subject = subject(&running(Health::default()), &CancellationToken::new());
    let _telling = Manager::of(&environment).start(subject).unwrap();
    let mut buffer = [0; 4096];
    let mut next = |limit| {
        socket.set_read_timeout(Some(limit)).unwrap();
        socket.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    while next(LONG).unwrap() != "WATCHDOG=1\n" {}
    let (blocked, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (theirs, released) = (Arc::clone(&blocked), Arc::clone(&release));
    runtime.spawn(async move {
        theirs.wait();
        released.wait();
    });
    blocked.wait();
    // What was sent before.
    while next(Duration::from_millis(1)).is_ok() {}
    let silence = next(Duration::from_millis(400));
    release.wait();
    assert!(silence.is_err(), "{silence:?}");
    while next(LONG).unwrap() != "WATCHDOG=1\n" {}
}

/// Guards against: a watchdog that asks for nothing but its time.
#[test]
fn a_watchdog_of_another_process_or_without_a_time_is_none_of_ours() {
    let own = process::id().to_string();
    for (id, micros, expected) in [
        (own.as_str(), "30000000", Some(Duration::from_secs(30))),
        ("", "30000000", Some(Duration::from_secs(30))),
        ("1", "30000000", None),
        (&own, "0", None),
        (&own, "soon", None),
        (&own, "", None),
    ] {
        let environment = Environment::of([("WATCHDOG_PID", id), ("WATCHDOG_USEC", micros)]);
        assert_eq!(Manager::of(&environment).watchdog, expected, "{id} {micros}");
    }
}

/// Guards against: READY as soon as metrics and health are served.
#[tokio::test]
async fn a_start_is_over_when_orders_are_claimed() {
    let told = Told::listen("");
    let observer = told.start(QUICK, &Arc::default(), &CancellationToken::new());
    pets(10).await;
    told.until("STATUS=Starting: waits for queue and store", 1).await;
    assert_eq!(told.count("READY=1"), 0, "{:?}", told.messages);
    observer.observe(&started());
    told.until("READY=1", 1).await;
}

/// Guards against: READY at the start of the engine alone.
#[tokio::test]
async fn a_start_is_over_when_it_is_known_what_is_waited_for() {
    let told = Told::listen("");
    let observer = told.start(QUICK, &Arc::default(), &CancellationToken::new());
    let down = DependencyEvent::Down { dependency: Dependency::Store, error: "refused", retry_in: Duration::ZERO };
    observer.observe(&down.into());
    told.until("READY=1", 1).await;
}

/// Guards against: READY at the start of the engine alone.
#[tokio::test]
async fn a_start_that_takes_long_is_over_before_systemd_loses_patience() {
    let told = Told::listen("");
    let began = Instant::now();
    let pace = Pace { longest_start: Duration::from_millis(300), ..QUICK };
    told.start(pace, &Arc::default(), &CancellationToken::new());
    told.until("READY=1", 1).await;
    assert!(began.elapsed() >= pace.longest_start, "{:?}", began.elapsed());
    assert!(
        PACE.longest_start + PACE.look_every < Duration::from_secs(60),
        "packaging/systemd has TimeoutStartSec=60s"
    );
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_before_it_is_up_is_never_said_to_be_up() {
    let told = Told::listen("");
    let drain = CancellationToken::new();
    let pace = Pace { longest_start: Duration::ZERO, ..QUICK };
    drain.cancel();
    let observer = told.start(pace, &Arc::default(), &drain);
    observer.observe(&started());
    told.until("EXTEND_TIMEOUT_USEC=30000000", 1).await;
    pets(10).await;
    assert_eq!((told.count("READY=1"), told.count("STOPPING=1")), (0, 1), "{:?}", told.messages);
}

/// Guards against: READY counted as told although it was not.
#[tokio::test]
async fn what_systemd_has_to_know_is_told_again_until_it_is_taken() {
    let told = Told::listen("");
    let path = told.environment.variable("NOTIFY_SOCKET").unwrap().unwrap().to_owned();
    let away = format!("{path}-away");
    std::fs::rename(&path, &away).unwrap();
    let observer = told.start(QUICK, &Arc::default(), &CancellationToken::new());
    observer.observe(&started());
    pets(10).await;
    assert_eq!(told.count("READY=1"), 0, "{:?}", told.messages);
    std::fs::rename(&away, &path).unwrap();
    told.until("READY=1", 1).await;
}

#[test]
fn what_is_neither_a_path_nor_an_abstract_name_is_left_alone() {
    for name in ["", "notify", "vsock:2:1234"] {
        assert!(Manager::of(&Environment::of([("NOTIFY_SOCKET", name)])).socket.is_none(), "{name}");
    }
    for name in ["/run/systemd/notify", "@notify"] {
        assert!(Manager::of(&Environment::of([("NOTIFY_SOCKET", name)])).socket.is_some(), "{name}");
    }
}

/// Guards against: the checks with their texts.
#[test]
fn the_status_names_states_and_shows_no_address() {
    let health = Health::default();
    assert_eq!(status::sentence(&health), "Starting: waits for queue and store");
    health.observe(&DependencyEvent::Up(Dependency::Queue).into());
    assert_eq!(status::sentence(&health), "Starting: waits for store");
    health.observe(&started());
    health.observe(&DependencyEvent::Up(Dependency::Fulfiller).into());
    let error = "10.0.0.7 refused";
    let down = DependencyEvent::Down { dependency: Dependency::Store, error, retry_in: Duration::ZERO };
    health.observe(&down.into());
    assert_eq!(status::sentence(&health), "Held up by store");
    health.observe(&DependencyEvent::Up(Dependency::Store).into());
    assert_eq!(status::sentence(&health), "Claims orders");
    health.observe(&ControlsEvent::Unread { error, known: false }.into());
    assert_eq!(status::sentence(&health), "Claims nothing: whether the fleet is paused can't be read");
    health.observe(&ControlsEvent::InForce(&InForce::default()).into());
    assert_eq!(status::sentence(&health), "Claims orders");
}
