//! Frames in, an mp4 out: H.264 through libav, in this process. Only this file names libav.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Once;

use ffmpeg_next as libav;
use libav::util::color;
use libav::util::format::Pixel;
use libav::{Dictionary, Packet, Rational, codec, encoder, ffi, format, frame};

use super::raster::Frame;
use crate::compute::atomic_file::AtomicFile;
use crate::compute::error::{Error, Result};
use crate::compute::kernels::{self, Level};

/// Frames per second, exactly: a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRate {
    numerator: i32,
    denominator: i32,
}

impl FrameRate {
    /// `rate` frames per second to a thousandth.
    ///
    /// # Errors
    /// Outside 0.1 to 240.
    pub fn new(rate: f64) -> Result<Self> {
        if !(0.1..=240.0).contains(&rate) {
            return Err(Self::refused(&rate.to_string()));
        }
        let (mut numerator, mut denominator) = ((rate * 1000.0).round() as i32, 1000);
        for factor in [2, 2, 2, 5, 5, 5] {
            if numerator % factor == 0 && denominator % factor == 0 {
                (numerator, denominator) = (numerator / factor, denominator / factor);
            }
        }
        Ok(Self { numerator, denominator })
    }

    pub fn per_second(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    fn refused(found: &str) -> Error {
        let expected = "frames per second from 0.1 to 240, like 2, 29.97 or 30000/1001".to_owned();
        Error::Parameter { name: "fps", expected, found: found.to_owned() }
    }
}

impl Default for FrameRate {
    fn default() -> Self {
        Self { numerator: 2, denominator: 1 }
    }
}

impl FromStr for FrameRate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || Self::refused(text);
        match text.split_once('/') {
            None => Self::new(text.trim().parse().map_err(|_| refused())?).map_err(|_| refused()),
            Some((numerator, denominator)) => {
                let part = |part: &str| part.trim().parse::<i32>().ok().filter(|part| (1..=1_000_000).contains(part));
                let rate = Self {
                    numerator: part(numerator).ok_or_else(refused)?,
                    denominator: part(denominator).ok_or_else(refused)?,
                };
                if (0.1..=240.0).contains(&rate.per_second()) { Ok(rate) } else { Err(refused()) }
            }
        }
    }
}

/// The encoder that is used; Debian's libavcodec has it.
pub const H264: &str = "libx264";
/// Fixed, so that the bytes do not depend on the machine's cores.
const ENCODER_THREADS: &str = "4";

/// An mp4 file being written: H.264, yuv420p (BT.709, limited range), CRF 18, index at the front.
/// Dropped before [`Encoder::finish`], it leaves nothing behind.
pub struct Encoder {
    path: PathBuf,
    output: format::context::Output,
    encoder: encoder::Video,
    yuv: frame::Video,
    frame_time: Rational,
    frames: i64,
    // Last, so that libav closes the file before it is removed.
    file: AtomicFile,
}

impl Encoder {
    /// Starts `path` for frames of `width` × `height` (both even).
    ///
    /// # Errors
    /// No H.264 encoder; a path that cannot be written.
    pub fn create(path: &Path, width: u32, height: u32, rate: FrameRate) -> Result<Self> {
        Self::create_with(H264, path, width, height, rate)
    }

    /// As [`Encoder::create`], with the encoder named `codec_name`.
    pub fn create_with(codec_name: &str, path: &Path, width: u32, height: u32, rate: FrameRate) -> Result<Self> {
        static START: Once = Once::new();
        START.call_once(|| {
            // Registers nothing that can fail on the versions we build against.
            libav::init().ok();
            libav::util::log::set_level(libav::util::log::Level::Fatal);
        });
        let codec = encoder::find_by_name(codec_name).ok_or_else(|| Error::Video {
            what: format!(
                "cannot be made: this system's libavcodec has no H.264 encoder ({codec_name}). Install a libavcodec \
                 with libx264 (Debian: libavcodec59), or write frames only (--no-video)"
            ),
            path: path.to_owned(),
        })?;
        let failed = |doing: &'static str| move |error| video_error(path, doing, error);
        if path.to_str().is_none() {
            let what = "cannot be the name of a video: it is no valid UTF-8. Choose another name".to_owned();
            return Err(Error::Video { what, path: path.to_owned() });
        }
        let file = AtomicFile::create(path)?;
        // The prefix keeps a name with a colon from being taken for a protocol.
        let target = Path::new("file:").as_os_str().to_owned();
        let mut target = target;
        target.push(file.temporary_path());
        let mut output = format::output_as(Path::new(&target), "mp4").map_err(failed("open the file"))?;

        let frame_time = Rational::new(rate.denominator, rate.numerator);
        let mut video = codec::Context::new_with_codec(codec).encoder().video().map_err(failed("set up H.264"))?;
        video.set_width(width);
        video.set_height(height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(frame_time);
        video.set_frame_rate(Some(Rational::new(rate.numerator, rate.denominator)));
        video.set_colorspace(color::Space::BT709);
        video.set_color_range(color::Range::MPEG);
        video.set_color_primaries(color::Primaries::BT709);
        video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        // A key frame every few seconds, so that players can scrub.
        video.set_gop(30);
        video.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::BITEXACT);
        let mut options = Dictionary::new();
        options.set("crf", "18");
        options.set("preset", "ultrafast");
        options.set("tune", "animation");
        options.set("threads", ENCODER_THREADS);
        let encoder = video.open_with(options).map_err(failed("open H.264"))?;

        let mut stream = output.add_stream(codec).map_err(failed("add a stream"))?;
        stream.set_parameters(&encoder);
        stream.set_time_base(frame_time);
        stream.set_avg_frame_rate(Rational::new(rate.numerator, rate.denominator));
        let mut options = Dictionary::new();
        options.set("movflags", "+faststart");
        options.set("fflags", "+bitexact");
        output.write_header_with(options).map_err(failed("write the header"))?;

        let mut yuv = frame::Video::new(Pixel::YUV420P, width, height);
        yuv.set_color_space(color::Space::BT709);
        yuv.set_color_range(color::Range::MPEG);
        Ok(Self { path: path.to_owned(), output, encoder, yuv, frame_time, frames: 0, file })
    }

    /// Adds the next frame, which must have the sides given at the start.
    pub fn add(&mut self, frame: &Frame) -> Result<()> {
        assert_eq!((frame.width, frame.height), (self.yuv.width(), self.yuv.height()), "frames of one size");
        fill_planes(frame, &mut self.yuv);
        self.yuv.set_pts(Some(self.frames));
        self.frames += 1;
        self.encoder.send_frame(&self.yuv).map_err(|error| video_error(&self.path, "encode a frame", error))?;
        self.write_packets()
    }

    /// Ends the video and gives it its name.
    ///
    /// # Errors
    /// No frames; a disk that is full.
    pub fn finish(mut self) -> Result<()> {
        if self.frames == 0 {
            return Err(Error::Video { what: "would be empty: there are no frames".to_owned(), path: self.path });
        }
        self.encoder.send_eof().map_err(|error| video_error(&self.path, "end the stream", error))?;
        self.write_packets()?;
        self.output.write_trailer().map_err(|error| video_error(&self.path, "write the index", error))?;
        // SAFETY: the output is open until this value is dropped, and its I/O context with it.
        let io_error = unsafe {
            let io = (*self.output.as_mut_ptr()).pb;
            ffi::avio_flush(io);
            (*io).error
        };
        if io_error < 0 {
            return Err(video_error(&self.path, "write the file", libav::Error::from(io_error)));
        }
        let Self { output, file, .. } = self;
        drop(output);
        file.commit()
    }

    fn write_packets(&mut self) -> Result<()> {
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(libav::Error::Eof) => return Ok(()),
                Err(libav::Error::Other { errno }) if errno == libav::error::EAGAIN => return Ok(()),
                Err(error) => return Err(video_error(&self.path, "encode a frame", error)),
            }
            packet.set_stream(0);
            // Without a duration the last frame's time on screen is lost.
            packet.set_duration(1);
            let stream_time = self.output.stream(0).expect("added at the start").time_base();
            packet.rescale_ts(self.frame_time, stream_time);
            packet
                .write_interleaved(&mut self.output)
                .map_err(|error| video_error(&self.path, "write a frame", error))?;
        }
    }
}

/// Converts a frame to yuv420p; chroma is that of the mean of four pixels.
fn fill_planes(frame: &Frame, yuv: &mut frame::Video) {
    let level = Level::detected();
    let row_bytes = frame.width as usize * 4;
    let strides = [yuv.stride(0), yuv.stride(1), yuv.stride(2)];
    for (row, luma) in frame.rgba.chunks_exact(row_bytes).zip(yuv.data_mut(0).chunks_mut(strides[0])) {
        kernels::luma(level, row, &mut luma[..row_bytes / 4]);
    }
    for (plane, weights) in [(1, kernels::BLUE_DIFFERENCE), (2, kernels::RED_DIFFERENCE)] {
        let rows = frame.rgba.chunks_exact(2 * row_bytes).zip(yuv.data_mut(plane).chunks_mut(strides[plane]));
        for (two_rows, chroma) in rows {
            let (upper, lower) = two_rows.split_at(row_bytes);
            kernels::chroma(level, weights, upper, lower, &mut chroma[..row_bytes / 8]);
        }
    }
}

fn video_error(path: &Path, doing: &str, error: libav::Error) -> Error {
    let reason = match error {
        libav::Error::Other { errno } => return Error::write(path)(std::io::Error::from_raw_os_error(errno)),
        other => other.to_string(),
    };
    Error::Video { what: format!("could not {doing}: {reason}"), path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_bt_709() {
        libav::init().expect("libav");
        let mut yuv = frame::Video::new(Pixel::YUV420P, 2, 2);
        for (rgb, expected) in [
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ] {
            let pixel = [rgb[0], rgb[1], rgb[2], 255];
            fill_planes(&Frame { width: 2, height: 2, rgba: [pixel; 4].concat() }, &mut yuv);
            assert_eq!([yuv.data(0)[0], yuv.data(1)[0], yuv.data(2)[0]], expected, "{rgb:?}");
        }
    }

    #[test]
    fn frame_rates_are_exact() {
        for (text, numerator, denominator) in
            [("2", 2, 1), ("0.5", 1, 2), ("29.97", 2997, 100), ("30000/1001", 30_000, 1001), ("10", 10, 1)]
        {
            assert_eq!(text.parse::<FrameRate>().expect(text), FrameRate { numerator, denominator }, "{text}");
        }
        for text in ["0", "-1", "nan", "inf", "300", "1/0", "x", "", "1/100"] {
            let message = text.parse::<FrameRate>().expect_err(text).to_string();
            assert!(message.contains("fps: expected frames per second") && message.ends_with(text), "{message}");
        }
    }
}
