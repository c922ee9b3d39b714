//! The real window, once, under Xvfb: it opens, draws, and hears a click.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::skip;

/// Ends its process when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn is_installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(90), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_window_opens_draws_and_hears_a_click() {
    const NAME: &str = "the real window";
    for program in ["Xvfb", "xdotool", "import"] {
        if !is_installed(program) {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing, and CI must run this test");
            skip(NAME, &format!("{program} is not installed (./test installs it)"));
            return;
        }
    }
    let display = format!(":{}", 100 + std::process::id() % 400);
    let server = Command::new("Xvfb").args([&display, "-screen", "0", "1440x900x24"]).stderr(Stdio::null()).spawn();
    let _server = Running(server.expect("Xvfb starts"));
    let run = |program: &str, args: &[&str]| {
        Command::new(program).args(args).env("DISPLAY", &display).stderr(Stdio::null()).output().expect("starts")
    };
    until("Xvfb", || run("xdotool", &["getmouselocation"]).status.success().then_some(()));

    let home = tempfile::tempdir().expect("temporary folder");
    let window = Command::new(env!("CARGO_BIN_EXE_knnscope"))
        .env("DISPLAY", &display)
        .env_remove("WAYLAND_DISPLAY")
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .spawn();
    let _window = Running(window.expect("the window starts"));
    let id = until("the window", || {
        let found = run("xdotool", &["search", "--name", "^knnscope$"]);
        String::from_utf8_lossy(&found.stdout).lines().next().map(str::to_owned)
    });
    run("xdotool", &["windowmove", &id, "0", "0", "windowsize", &id, "1440", "900"]);

    let shot = home.path().join("window.png");
    let bars = |path: &Path| {
        run("import", &["-window", "root", path.to_str().expect("text")]);
        let picture = image::open(path).ok()?.to_rgb8();
        Some(picture.pixels().filter(|pixel| pixel.0 == [0x00, 0x72, 0xb2]).count())
    };
    // Bars of the demo, in their colour.
    let first = until("bars", || bars(&shot).filter(|&count| count > 5000));
    // The last run has other bars than the first.
    until("the last run", || {
        run("xdotool", &["windowfocus", &id, "key", "--window", &id, "End"]);
        std::thread::sleep(Duration::from_millis(300));
        bars(&shot).filter(|&count| count.abs_diff(first) > 500)
    });
    if let Some(keep) = std::env::var_os("KNNSCOPE_SCREENSHOT") {
        std::fs::copy(&shot, keep).expect("the screenshot is kept");
    }
}
