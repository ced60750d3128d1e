//! `serve`: the loop, the faces for agents and metrics, and those who are told, in one process, until it is told to stop. A changed
//! configuration is taken without ending; one with mistakes is not, and the old one stays in force.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Ended;
use super::arguments::{Format, Serve};
use super::commands::{configuration, open};
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::configuration::Configuration;
use crate::reconcile::supervise::Line;
use crate::reconcile::{Loop, Telling};
use crate::serve;
use crate::service::Service;
use crate::sources::{Patience, Surroundings};

/// How often the configuration file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why it was woken.
enum Woken {
    /// It shall stop.
    Stop,
    /// The configuration may have changed.
    Reload,
    /// The configuration file is not there any more, or cannot be looked at, for this reason.
    Gone(String),
}

/// What runs under one configuration.
pub(super) struct Running {
    reconcile: Loop,
    face: Option<serve::Running>,
    notifying: (CancellationToken, tokio::task::JoinHandle<()>),
}

/// `serve`.
pub async fn run(config: &Path, asked: &Serve, output: &Output) -> Ended {
    let mut service = open(config, output).await?;
    // Held until the process ends.
    let _only = service
        .store()
        .lock_loop()
        .map_err(|error| Failure::of(&error))?;
    let mut signals = Signals::new()?;
    let mut file = Watched::new(config);
    let telling = telling(*output);
    let mut running = start(&service, asked, &telling).await?;
    ready(output, &running);
    loop {
        match signals.next(&mut file).await {
            Woken::Stop => break,
            Woken::Reload => {}
            Woken::Gone(why) => {
                let file = config.display();
                let text = format!(
                    "the configuration file {file} cannot be read ({why}): the last good configuration stays in force"
                );
                say(&telling, true, text);
                continue;
            }
        }
        reloading();
        let fresh = match fresh(&service, config).await {
            Ok(Some(fresh)) => fresh,
            Ok(None) => {
                notify_systemd(&[NotifyState::Ready]);
                continue;
            }
            Err(failure) => {
                say(
                    &telling,
                    true,
                    format!(
                        "the changed configuration is not taken, the old one stays in force: {}",
                        failure.message
                    ),
                );
                notify_systemd(&[NotifyState::Ready]);
                continue;
            }
        };
        stop(running, &mut signals).await;
        running = match start(&fresh, asked, &telling).await {
            Ok(started) => {
                service = fresh;
                say(
                    &telling,
                    false,
                    "the changed configuration is in force".to_owned(),
                );
                started
            }
            Err(failure) => {
                say(
                    &telling,
                    true,
                    format!(
                        "the changed configuration cannot be started with, the old one stays in force: {}",
                        failure.message
                    ),
                );
                let old = service.configuration().clone();
                service = service.with_configuration(old).await?;
                start(&service, asked, &telling).await?
            }
        };
        ready(output, &running);
    }
    notify_systemd(&[NotifyState::Stopping]);
    say(
        &telling,
        false,
        "stopping: the step in hand is finished; a second signal ends at once".to_owned(),
    );
    stop(running, &mut signals).await;
    service.store().close().await;
    say(&telling, false, "stopped".to_owned());
    Ok(Exit::Success)
}

/// Starts everything that runs under the service's configuration.
pub(super) async fn start(
    service: &Service,
    asked: &Serve,
    telling: &Telling,
) -> Result<Running, Failure> {
    let metrics = service.metrics().clone();
    let configured = service.configuration();
    metrics.started(env!("CARGO_PKG_VERSION"), service.now());
    metrics.clusters(
        configured
            .clusters
            .iter()
            .map(|cluster| cluster.name.as_str()),
    );
    let face = if asked.no_listen {
        None
    } else {
        Some(
            serve::start(service.clone(), options(service))
                .await
                .map_err(|error| Failure::of(&error))?,
        )
    };
    let reconcile =
        Loop::start(service.clone(), &surroundings(service), Arc::clone(telling)).await?;
    let cancel = CancellationToken::new();
    let (notifier, token) = (service.notifier(), cancel.clone());
    let task = tokio::spawn(async move { notifier.run(token).await });
    Ok(Running {
        reconcile,
        face,
        notifying: (cancel, task),
    })
}

/// How to serve, by the configuration.
fn options(service: &Service) -> serve::Options {
    let measured = service.clone();
    let metrics: serve::Render = Arc::new(move || {
        let service = measured.clone();
        Box::pin(async move {
            // What the store cannot tell now stands as it was last told, with the time.
            let _ = service.refresh_metrics().await;
            service.metrics().render()
        })
    });
    serve::Options {
        metrics: Some(metrics),
        ..serve::Options::of(&service.configuration().serve)
    }
}

/// Ends what runs: first nothing new comes in, then what is in hand is finished. A second signal ends the process at once; nothing is
/// lost by that either, since what is sent is written down before.
async fn stop(running: Running, signals: &mut Signals) {
    tokio::select! {
        () = running.end() => {}
        () = signals.again() => {}
    }
}

impl Running {
    /// Where it listens, if it does.
    pub(super) fn url(&self) -> Option<String> {
        self.face.as_ref().map(serve::Running::url)
    }

    /// First nothing new comes in, then what is in hand is finished.
    pub(super) async fn end(self) {
        let Self {
            reconcile,
            face,
            notifying: (cancel, task),
        } = self;
        if let Some(face) = face {
            face.stop().await;
        }
        reconcile.stop().await;
        cancel.cancel();
        // It ends by being cancelled, or has ended already.
        let _ = task.await;
    }
}

/// Where copies of repositories lie, and programs are found.
fn surroundings(service: &Service) -> Surroundings {
    let mut folder = service.configuration().state.clone().into_os_string();
    folder.push(".git");
    Surroundings {
        folder: PathBuf::from(folder),
        programs: std::env::var_os("PATH").unwrap_or_default(),
        patience: Patience::default(),
    }
}

/// A service with the configuration as it is now, if it changed.
async fn fresh(service: &Service, config: &Path) -> Result<Option<Service>, Failure> {
    let loaded: Configuration = configuration(config)?;
    if loaded == *service.configuration() {
        return Ok(None);
    }
    Ok(Some(service.with_configuration(loaded).await?))
}

fn ready(output: &Output, running: &Running) {
    let address = running.url();
    if output.format != Format::Text {
        output.raw(&format!("{}\n", json!({ "ready": true, "url": address })));
    }
    match address {
        Some(address) => output.line(format!(
            "serving at {address}: MCP at /mcp, metrics at /metrics"
        )),
        None => output.line("the loop runs"),
    }
    notify_systemd(&[NotifyState::Ready]);
}

/// Tells systemd that the configuration is read anew; it waits until it hears that this is done.
fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify_systemd(&[NotifyState::Reloading, now]);
    }
}

/// Tells systemd, where it started the process; elsewhere this does nothing.
fn notify_systemd(state: &[NotifyState<'_>]) {
    // Who is not started by systemd is not heard, and need not be.
    let _ = sd_notify::notify(false, state);
}

/// The loop's lines go to standard error, since standard output is for the answer.
fn telling(output: Output) -> Telling {
    Arc::new(move |line: Line| {
        let text = match output.format {
            Format::Text => format!(
                "{}{}\n",
                if line.warning { "warning: " } else { "" },
                line.text
            ),
            Format::Json | Format::Yaml => {
                format!(
                    "{}\n",
                    json!({ "warning": line.warning, "text": line.text })
                )
            }
        };
        // A log that nobody reads is no reason to stop.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    })
}

fn say(telling: &Telling, warning: bool, text: String) {
    telling(Line { warning, text });
}

/// The signals that are listened to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::error(format!("cannot listen to signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self, file: &mut Watched) -> Woken {
        tokio::select! {
            _ = self.terminate.recv() => Woken::Stop,
            _ = self.interrupt.recv() => Woken::Stop,
            _ = self.hangup.recv() => Woken::Reload,
            woken = file.changed() => woken,
        }
    }

    async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What is looked at of a file to see whether it is another: when it was written, and how long it is.
type Stamp = (SystemTime, u64);

/// A file whose changes are noticed.
struct Watched {
    file: PathBuf,
    before: Option<Stamp>,
    /// Whether it was said that it is gone.
    gone: bool,
}

impl Watched {
    fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            before: stamp(file).ok(),
            gone: false,
        }
    }

    /// Waits until the file is another than before, and for two looks the same: whoever writes it has finished. That it is gone is told
    /// once, and only if it stays away: an editor may put another in its place.
    async fn changed(&mut self) -> Woken {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamp(&self.file);
            match &now {
                Ok(now) if self.before == Some(*now) => {
                    self.gone = false;
                    continue;
                }
                Err(_) if self.gone => continue,
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(LOOK / 4).await;
            match (now, stamp(&self.file)) {
                (Ok(now), Ok(again)) if now == again => {
                    self.before = Some(now);
                    self.gone = false;
                    return Woken::Reload;
                }
                (Err(_), Err(why)) => {
                    self.gone = true;
                    return Woken::Gone(why.to_string());
                }
                _ => {}
            }
        }
    }
}

fn stamp(file: &Path) -> std::io::Result<Stamp> {
    let metadata = std::fs::metadata(file)?;
    Ok((metadata.modified()?, metadata.len()))
}
