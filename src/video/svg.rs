//! A scene as SVG: text stays text, in the fonts of the frames where they are installed.

use std::fmt::Write;

use super::fonts::Face;
use super::palette::Color;
use super::scene::{Align, Item, Scene};

/// The scene as an SVG document of its size.
pub fn to_svg(scene: &Scene) -> String {
    let (width, height) = (scene.width, scene.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n"
    );
    let background = hex(scene.background);
    writeln!(svg, "<rect width=\"{width}\" height=\"{height}\" fill=\"{background}\"/>").expect("memory");
    for item in &scene.items {
        push(item, &mut svg);
        svg.push('\n');
    }
    svg.push_str("</svg>\n");
    svg
}

fn push(item: &Item, svg: &mut String) {
    match item {
        Item::Rect { x, y, width, height, color } => {
            write!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>", hex(*color))
        }
        Item::Card { x, y, width, height, radius, fill, border } => write!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\" fill=\"{}\" stroke=\"{}\"/>",
            hex(*fill),
            hex(*border)
        ),
        Item::Line { points, width, color } => {
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.2},{y:.2}")).collect();
            write!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"/>",
                points.join(" "),
                hex(*color)
            )
        }
        Item::Band { points, color } => {
            let there = points.iter().map(|(x, low, _)| format!("{x:.2},{low:.2}"));
            let back = points.iter().rev().map(|(x, _, high)| format!("{x:.2},{high:.2}"));
            let points: Vec<String> = there.chain(back).collect();
            write!(svg, "<polygon points=\"{}\" fill=\"{}\"/>", points.join(" "), hex(*color))
        }
        Item::Shades { x, y, width, height, shades, from, to } => {
            let mut png = Vec::new();
            let (across, down) = (shades.width as u32, shades.height as u32);
            let encoder = image::codecs::png::PngEncoder::new(&mut png);
            let rgb = shades.rgb(*from, *to);
            image::ImageEncoder::write_image(encoder, &rgb, across, down, image::ExtendedColorType::Rgb8)
                .expect("as many bytes as shades, and memory takes any of them");
            let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, png);
            write!(
                svg,
                "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" \
                 style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>"
            )
        }
        Item::Text { x, y, size, face, align, upwards, color, text } => {
            let (family, weight) = match face {
                Face::Regular => ("Roboto, sans-serif", 400),
                Face::Medium => ("Roboto, sans-serif", 500),
                Face::Bold => ("Roboto, sans-serif", 700),
                Face::Mono => ("'JetBrains Mono', monospace", 400),
            };
            let anchor = match align {
                Align::Left => "start",
                Align::Center => "middle",
                Align::Right => "end",
            };
            let turn = if *upwards { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
            write!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" font-family=\"{family}\" font-weight=\"{weight}\" font-size=\"{size}\" \
                 text-anchor=\"{anchor}\" fill=\"{}\" xml:space=\"preserve\"{turn}>{}</text>",
                hex(*color),
                escaped(text)
            )
        }
    }
    .expect("memory");
}

fn hex(color: Color) -> String {
    format!("#{:02x}{:02x}{:02x}", color.red, color.green, color.blue)
}

/// Without what XML takes for markup, and without characters it forbids.
fn escaped(text: &str) -> String {
    let allowed = text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    allowed.fold(String::new(), |mut escaped, c| {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        let color = Color::new(1, 2, 255);
        let text = Item::Text {
            x: 1.0,
            y: 2.0,
            size: 12.0,
            face: Face::Bold,
            align: Align::Center,
            upwards: true,
            color,
            text: "a < b & \"c\"\u{7}".to_owned(),
        };
        let line = Item::Line { points: vec![(0.0, 1.0), (2.0, 3.5)], width: 2.0, color };
        let scene = Scene { width: 10, height: 20, background: color, items: vec![text, line], backdrop: 0 };
        let svg = to_svg(&scene);
        assert!(svg.contains(">a &lt; b &amp; &quot;c&quot;</text>") && svg.contains("rotate(-90 1 2)"), "{svg}");
        assert!(svg.contains("points=\"0.00,1.00 2.00,3.50\"") && svg.contains("#0102ff"), "{svg}");
        assert!(svg.ends_with("</svg>\n"));
    }
}
