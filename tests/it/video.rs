//! Videos by decoding them again.

use std::path::{Path, PathBuf};

use ffmpeg_next as libav;
use knnscope::compute::error::Error;
use knnscope::compute::scores::ScoreStore;
use knnscope::job::Monitor;
use knnscope::video::palette::Color;
use knnscope::video::{Encoder, ExportOptions, Frame, FrameRate, FrameSize, Look, VIDEO_NAME, export};

use crate::support::{Vectors, knnscope, shared, stderr, text};

struct Decoded {
    codec: libav::codec::Id,
    rate: libav::Rational,
    duration_secs: f64,
    frames: Vec<Frame>,
}

fn decode(path: &Path) -> Decoded {
    libav::init().expect("libav");
    let mut input = libav::format::input(path).expect("a video");
    let stream = input.streams().best(libav::media::Type::Video).expect("a video stream");
    let (index, rate, time_base) = (stream.index(), stream.rate(), stream.time_base());
    let duration_secs = stream.duration() as f64 * f64::from(time_base);
    let codec = stream.parameters().id();
    let context = libav::codec::context::Context::from_parameters(stream.parameters()).expect("parameters");
    let mut decoder = context.decoder().video().expect("a decoder");
    assert_eq!(decoder.format(), libav::format::Pixel::YUV420P);
    assert_eq!(decoder.color_space(), libav::color::Space::BT709);
    let mut scaler = libav::software::scaling::Context::get(
        decoder.format(),
        decoder.width(),
        decoder.height(),
        libav::format::Pixel::RGBA,
        decoder.width(),
        decoder.height(),
        libav::software::scaling::Flags::BILINEAR,
    )
    .expect("a scaler");
    let mut frames = Vec::new();
    let mut take = |decoder: &mut libav::decoder::Video| {
        let mut decoded = libav::frame::Video::empty();
        while decoder.receive_frame(&mut decoded).is_ok() {
            let mut rgba = libav::frame::Video::empty();
            scaler.run(&decoded, &mut rgba).expect("converted");
            let row_bytes = decoded.width() as usize * 4;
            let pixels = rgba
                .data(0)
                .chunks(rgba.stride(0))
                .take(decoded.height() as usize)
                .flat_map(|row| row[..row_bytes].to_vec())
                .collect();
            frames.push(Frame { width: decoded.width(), height: decoded.height(), rgba: pixels });
        }
    };
    for (stream, packet) in input.packets() {
        if stream.index() == index {
            decoder.send_packet(&packet).expect("a packet");
            take(&mut decoder);
        }
    }
    decoder.send_eof().expect("the end");
    take(&mut decoder);
    Decoded { codec, rate, duration_secs, frames }
}

/// Whether two colours are the same but for what yuv420p and CRF 18 lose (BT.601 tables in the test's
/// scaler included).
fn alike(one: Color, other: Color) -> bool {
    let far = |a: u8, b: u8| (i32::from(a) - i32::from(b)).abs() > 24;
    !far(one.red, other.red) && !far(one.green, other.green) && !far(one.blue, other.blue)
}

fn results() -> (Vectors, PathBuf) {
    let vectors = Vectors::random(500, 60, 8);
    let folder = vectors.folder.path().join("results");
    let output = vectors.score(&folder, &["-N", "3,10", "-M", "3", "--top-k", "20", "--quiet"]);
    assert!(output.status.success(), "{}", stderr(&output));
    (vectors, folder)
}

#[test]
fn the_video_holds_every_run_at_its_rate_in_its_colours() {
    let (vectors, folder) = results();
    for (rate, numerator, denominator) in [("2", 2, 1), ("29.97", 2997, 100)] {
        let out = vectors.folder.path().join(format!("out {rate}"));
        let output = knnscope(&[
            "video",
            "--input-dir",
            text(&folder),
            "--output-dir",
            text(&out),
            "--fps",
            rate,
            "--size",
            "640x360",
            "--bins",
            "20",
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let decoded = decode(&out.join(VIDEO_NAME));
        assert_eq!(decoded.codec, libav::codec::Id::H264);
        assert_eq!(decoded.rate, libav::Rational::new(numerator, denominator));
        assert_eq!(decoded.frames.len(), 6);
        let expected = 6.0 * f64::from(denominator) / f64::from(numerator);
        assert!((decoded.duration_secs - expected).abs() < 1e-3, "{} s, not {expected}", decoded.duration_secs);
        let inks = Look::Light.inks();
        for (index, frame) in decoded.frames.iter().enumerate() {
            assert_eq!((frame.width, frame.height), (640, 360));
            let png = image::open(out.join(format!("frame_{index:04}.png"))).expect("a frame").to_rgb8();
            assert_eq!((png.width(), png.height()), (640, 360));
            assert!(alike(frame.pixel(2, 2), inks.paper), "background of frame {index}: {:?}", frame.pixel(2, 2));
            // A pixel well inside a bar: it and its neighbours are bar-coloured in the PNG.
            let exact = image::Rgb([inks.exact.red, inks.exact.green, inks.exact.blue]);
            let (x, y) = (4..636)
                .flat_map(|x| (44..300).map(move |y| (x, y)))
                .find(|&(x, y)| (x - 3..=x + 3).all(|x| (y - 3..=y + 3).all(|y| *png.get_pixel(x, y) == exact)))
                .expect("a bar is drawn");
            assert!(alike(frame.pixel(x, y), inks.exact), "bar of frame {index}: {:?}", frame.pixel(x, y));
        }
        // The index stands before the data, so that players can start at once.
        let bytes = std::fs::read(out.join(VIDEO_NAME)).expect("readable");
        let at = |name: &[u8]| bytes.windows(4).position(|window| window == name).expect("a box");
        assert!(at(b"moov") < at(b"mdat"));
    }
}

#[test]
fn the_same_bytes_on_any_number_of_threads_and_nothing_else() {
    let (vectors, folder) = results();
    let read = |threads: &str, flag: &str| {
        let out = vectors.folder.path().join(format!("out {threads}{flag}"));
        let mut args = vec![
            "video",
            "--input-dir",
            text(&folder),
            "--output-dir",
            text(&out),
            "--threads",
            threads,
            "--size",
            "640x360",
            "--quiet",
        ];
        args.extend(Some(flag).filter(|flag| !flag.is_empty()));
        let output = knnscope(&args);
        assert!(output.status.success(), "{}", stderr(&output));
        let mut files: Vec<_> =
            std::fs::read_dir(&out).expect("there").map(|entry| entry.expect("readable").path()).collect();
        files.sort();
        files
            .into_iter()
            .map(|path| (path.file_name().expect("a name").to_owned(), std::fs::read(&path).expect("readable")))
            .collect::<Vec<_>>()
    };
    let one = read("1", "");
    assert_eq!(one.len(), 7, "six frames and a video, nothing hidden");
    assert_eq!(one, read("3", ""));
    let frames_only = read("2", "--no-video");
    assert_eq!(frames_only.len(), 6);
    assert_ne!(one[1], read("2", "--dark")[1], "the dark look is another picture");
}

fn options(folder: &Path) -> ExportOptions {
    ExportOptions {
        frames: Some(folder.to_owned()),
        video: Some(folder.join(VIDEO_NAME)),
        rate: FrameRate::default(),
        size: FrameSize::new(320, 180).expect("valid"),
        look: Look::Light,
        bin_count: 10,
        range: None,
    }
}

#[test]
fn a_cancelled_or_failed_export_leaves_what_was_there() {
    let (vectors, folder) = results();
    let store = ScoreStore::open(&folder).expect("opens");
    let out = vectors.folder.path().join("out");
    export(&store, &options(&out), &Monitor::new()).expect("exports");
    let before = std::fs::read(out.join(VIDEO_NAME)).expect("readable");
    let monitor = Monitor::new();
    monitor.cancel();
    let error = export(&store, &options(&out), &monitor).expect_err("cancelled");
    assert!(matches!(error, Error::Cancelled));
    assert_eq!(std::fs::read(out.join(VIDEO_NAME)).expect("still there"), before);
    let names: Vec<_> =
        std::fs::read_dir(&out).expect("there").map(|entry| entry.expect("readable").file_name()).collect();
    assert_eq!(names.len(), 7, "{names:?}");

    let file = vectors.folder.path().join("file");
    std::fs::write(&file, "precious").expect("written");
    let error = export(&store, &options(&file), &Monitor::new()).expect_err("a file is in the way");
    assert!(error.to_string().contains("cannot be the output folder"), "{error}");
    assert_eq!(std::fs::read(&file).expect("still there"), b"precious");
}

#[test]
fn a_missing_encoder_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("a.mp4");
    let error = Encoder::create_with("libx999", &path, 320, 180, FrameRate::default()).err().expect("no such encoder");
    let told = error.to_string();
    assert!(told.contains("no H.264 encoder (libx999)") && told.contains("--no-video"), "{told}");
    let encoder = Encoder::create(&path, 320, 180, FrameRate::default()).expect("starts");
    drop(encoder);
    let encoder = Encoder::create(&path, 320, 180, FrameRate::default()).expect("starts");
    assert!(encoder.finish().is_err(), "a video needs frames");
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
}

#[test]
fn all_scores_equal_is_shown_not_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let manifest = r#"{"docs": "d", "queries": "q", "dim": 1, "numDocs": 5, "topK": 2, "nValues": [3], "mRepeats": 1,
        "runs": [{"n": 3, "m": 0, "queryStartIndex": 0, "numScores": 6, "elapsedSec": 0.1, "file": "s.bin"}]}"#;
    std::fs::write(folder.path().join("manifest.json"), manifest).expect("written");
    crate::support::write_vectors(&folder.path().join("s.bin"), &[0.25; 6]);
    let output = knnscope(&["video", "--input-dir", text(folder.path()), "--size", "640x360"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(decode(&folder.path().join(VIDEO_NAME)).frames.len(), 1);
}

#[test]
fn results_of_the_replaced_tool_become_a_video() {
    let Some(results) = shared("video of the other tool's results", "luceneutil-run") else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let output = knnscope(&[
        "video",
        "-inputDir",
        text(&results),
        "-outputDir",
        text(folder.path()),
        "-fps",
        "4",
        "-bins",
        "80",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let decoded = decode(&folder.path().join(VIDEO_NAME));
    assert_eq!(decoded.frames.len(), ScoreStore::open(&results).expect("opens").runs().len());
    assert_eq!((decoded.frames[0].width, decoded.frames[0].height), (1800, 900));
}
