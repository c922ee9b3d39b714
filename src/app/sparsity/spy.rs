//! The spy plot: every weight that is not zero, from the whole matrix to single cells.

use egui::{Align, Align2, Layout, RichText, Sense};

use super::super::App;
use super::super::command::Command;
use super::SparsityCommand;
use super::state::{DrawKey, LineOrder, Ordered, State};
use crate::compute::figures::count;
use crate::compute::sparsity::analysis::Analysis;
use crate::video::scene::ticks;
use crate::video::sparsity::SpyWords;
use crate::video::spy::Window;

/// Room for the numbers of the rows and columns, and for the densities.
const ROW_NAMES: f32 = 56.0;
const COLUMN_NAMES: f32 = 36.0;
const DENSITIES: f32 = 64.0;
const GAP: f32 = 8.0;

/// What the picture is called.
pub fn title(state: &State) -> Option<String> {
    let analysis = state.analysis()?;
    let name = crate::video::sparsity::matrix_title(analysis);
    let group = state.group.filter(|_| state.spy.only_group);
    Some(match group {
        Some(group) => format!("Group of column {}: {name}", count(analysis.groups[group].group.feature as usize)),
        None => format!("Weights that are not zero: {name}"),
    })
}

/// What stands beside the picture in a file.
pub fn words(state: &State, ordered: &Ordered) -> Option<SpyWords> {
    let rows = match ordered.key.rows {
        LineOrder::Stored => "row",
        LineOrder::Density => "place by density",
        LineOrder::Similarity => "place by similarity",
    };
    let is_small = ordered.columns.len() <= 24 && state.spy.window.is_none();
    Some(SpyWords {
        title: title(state)?,
        columns: column_name(ordered),
        rows: rows.to_owned(),
        names: if is_small { ordered.columns.clone() } else { Vec::new() },
    })
}

/// What stands under the columns.
fn column_name(ordered: &Ordered) -> String {
    match ordered.key.group {
        Some(_) => "columns of the group".to_owned(),
        None => match ordered.key.columns {
            LineOrder::Stored => "column".to_owned(),
            LineOrder::Density => "place by density of the column".to_owned(),
            LineOrder::Similarity => "place by similarity of the columns".to_owned(),
        },
    }
}

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    controls(app, ui);
    let state = &app.sparsity.state;
    let shown_group = state.group.filter(|_| state.spy.only_group);
    let is_current =
        |ordered: &&std::sync::Arc<Ordered>| ordered.key.analysis == state.number() && ordered.key.group == shown_group;
    let Some(ordered) = state.spy.ordered.as_ref().filter(is_current).cloned() else {
        ui.add_space(8.0);
        ui.label(RichText::new("Drawing…").color(app.theme.ink_soft));
        return;
    };
    ui.add(egui::Label::new(RichText::new(title(state).unwrap_or_default()).heading()).truncate());
    let whole = Window::whole(ordered.by_row.count(), ordered.by_row.length());
    let window = state.spy.window.unwrap_or(whole);
    let (outer, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    let room = egui::Rect::from_min_max(
        outer.min + egui::vec2(ROW_NAMES, 4.0),
        outer.max - egui::vec2(DENSITIES + GAP, DENSITIES + GAP + COLUMN_NAMES),
    );
    if room.width() < 40.0 || room.height() < 40.0 {
        return;
    }
    let frame = fitted(room, window);
    let response = ui.interact(frame, ui.scope_id().with("spy"), Sense::click_and_drag());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Weights"));
    let window = steer(app, ui, &response, frame, window, whole);
    let frame = fitted(room, window);
    let scale = ui.ctx().pixels_per_point();
    let pixels = |points: f32| ((points * scale).round() as usize).clamp(1, 8192);
    let wanted = DrawKey {
        order: ordered.key,
        window,
        width: pixels(frame.width()),
        height: pixels(frame.height()),
        look: app.theme.look,
    };
    app.sparsity.state.spy.wanted = Some(wanted);
    let theme = app.theme.clone();
    let painter = ui.painter().with_clip_rect(frame);
    painter.rect_filled(frame, 0.0, theme.paper);
    let to_screen = |window: Window, part: Window| {
        let x =
            |column: f64| frame.left() + ((column - window.left) / (window.right - window.left)) as f32 * frame.width();
        let y = |row: f64| frame.top() + ((row - window.top) / (window.bottom - window.top)) as f32 * frame.height();
        egui::Rect::from_min_max(egui::pos2(x(part.left), y(part.top)), egui::pos2(x(part.right), y(part.bottom)))
    };
    if let Some(drawn) = app.sparsity.state.spy.drawn.as_ref().filter(|drawn| drawn.key.order == ordered.key) {
        // What was drawn last, where it belongs now; the sharp picture follows.
        let place = to_screen(window, drawn.key.window);
        let all = egui::Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
        painter.image(drawn.texture.id(), place, all, egui::Color32::WHITE);
    }
    let stroke = egui::Stroke::new(1.0, theme.rule_strong);
    ui.painter().rect_stroke(frame, 0.0, stroke, egui::StrokeKind::Outside);
    names(app, ui, frame, window, &ordered);
    profiles(app, ui, frame, window, &ordered);
    if let Some(analysis) = app.sparsity.state.analysis() {
        tell_cell(&response, frame, window, &ordered, analysis);
    }
}

fn controls(app: &mut App, ui: &mut egui::Ui) {
    let state = &mut app.sparsity.state;
    let commands = &mut app.commands;
    ui.horizontal(|ui| {
        for (name, order) in [("Rows", &mut state.spy.rows), ("Columns", &mut state.spy.columns)] {
            ui.label(name);
            let shown = LineOrder::ALL.iter().find(|(other, _)| other == order).map_or("", |(_, name)| name);
            let combo = egui::ComboBox::from_id_salt(name).width(104.0).selected_text(shown).show_ui(ui, |ui| {
                for (other, name) in LineOrder::ALL {
                    ui.selectable_value(order, other, name);
                }
            });
            combo.response.accessible_name(format!("Order of {}", name.to_lowercase()));
        }
        ui.separator();
        if ui.selectable_label(!state.spy.only_group, "Matrix").clicked() && state.spy.only_group {
            state.spy.only_group = false;
            state.spy.window = None;
        }
        let can_group = state.group.is_some();
        let button = egui::Button::selectable(state.spy.only_group, "Group");
        let hint = "Choose a group in the Groups tab first";
        if ui.add_enabled(can_group, button).on_disabled_hover_text(hint).clicked() && !state.spy.only_group {
            state.spy.only_group = true;
            state.spy.window = None;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let zoomed = state.spy.window.is_some();
            let reset = ui.add_enabled(zoomed, egui::Button::new("Reset"));
            if reset.on_hover_text("The whole matrix (Esc, or a double click)").clicked() {
                commands.push(Command::Sparsity(SparsityCommand::ZoomReset));
            }
            let text = "Scroll to zoom, drag to move";
            if ui.available_width() < 190.0 {
                return;
            }
            ui.add(egui::Label::new(RichText::new(text).small().color(app.theme.ink_soft)).truncate());
        });
    });
}

/// The largest frame of the window's shape; a shape that is much longer than wide is stretched, to be seen.
fn fitted(room: egui::Rect, window: Window) -> egui::Rect {
    let (rows, columns) = ((window.bottom - window.top) as f32, (window.right - window.left) as f32);
    let cell = (room.width() / columns).min(room.height() / rows);
    let size = egui::vec2(cell * columns, cell * rows);
    let shorter = size.max_elem() * 0.6;
    egui::Rect::from_min_size(room.min, size.max(egui::Vec2::splat(shorter)).min(room.size()))
}

/// Zooms and moves; the part that is in view then.
fn steer(
    app: &mut App,
    ui: &egui::Ui,
    response: &egui::Response,
    frame: egui::Rect,
    window: Window,
    whole: Window,
) -> Window {
    /// Cells that are left in view at the closest.
    const FEWEST: f64 = 4.0;
    let mut next = window;
    let (rows, columns) = (window.bottom - window.top, window.right - window.left);
    if response.dragged() {
        let moved = response.drag_delta();
        let (down, across) = (f64::from(moved.y / frame.height()) * rows, f64::from(moved.x / frame.width()) * columns);
        next = shifted(next, -down, -across, whole);
    }
    if let Some(pointer) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = f64::from((-scroll * 0.004).exp() / pinch);
        if (factor - 1.0).abs() > 1e-4 {
            let share_x = f64::from((pointer.x - frame.left()) / frame.width());
            let share_y = f64::from((pointer.y - frame.top()) / frame.height());
            let (all_rows, all_columns) = (whole.bottom, whole.right);
            let scaled_rows = (rows * factor).clamp(FEWEST.min(all_rows), all_rows);
            let scaled_columns = (columns * factor).clamp(FEWEST.min(all_columns), all_columns);
            let (row, column) = (window.top + share_y * rows, window.left + share_x * columns);
            let zoomed = Window {
                top: row - share_y * scaled_rows,
                bottom: row + (1.0 - share_y) * scaled_rows,
                left: column - share_x * scaled_columns,
                right: column + (1.0 - share_x) * scaled_columns,
            };
            next = shifted(zoomed, 0.0, 0.0, whole);
        }
    }
    if response.double_clicked() {
        next = whole;
    }
    if next != window {
        app.sparsity.state.spy.window = (next != whole).then_some(next);
    }
    next
}

/// The window moved, but not beyond the matrix.
fn shifted(window: Window, down: f64, across: f64, whole: Window) -> Window {
    let (rows, columns) = (window.bottom - window.top, window.right - window.left);
    let top = (window.top + down).clamp(0.0, (whole.bottom - rows).max(0.0));
    let left = (window.left + across).clamp(0.0, (whole.right - columns).max(0.0));
    Window { top, bottom: top + rows, left, right: left + columns }
}

/// Numbers of rows and columns. Where cells are large, every one has its own.
fn names(app: &App, ui: &egui::Ui, frame: egui::Rect, window: Window, ordered: &Ordered) {
    let theme = &app.theme;
    let font = egui::FontId::new(12.0, egui::FontFamily::Proportional);
    let (rows, columns) = (window.bottom - window.top, window.right - window.left);
    // Where lines are in another order, places say little: the lines that stand there are named.
    let name = |lines: &[u32], place: usize| lines.get(place).map_or_else(String::new, |&line| count(line as usize));
    for row in places(window.top, window.bottom, f64::from(frame.height()) / 44.0) {
        let middle = row as f64 + 0.5;
        let y = frame.top() + ((middle - window.top) / rows) as f32 * frame.height();
        if (frame.top()..=frame.bottom()).contains(&y) {
            let text = name(&ordered.rows, row);
            ui.painter().text(
                egui::pos2(frame.left() - 6.0, y),
                Align2::RIGHT_CENTER,
                text,
                font.clone(),
                theme.ink_soft,
            );
        }
    }
    for column in places(window.left, window.right, f64::from(frame.width()) / 64.0) {
        let middle = column as f64 + 0.5;
        let x = frame.left() + ((middle - window.left) / columns) as f32 * frame.width();
        if (frame.left()..=frame.right()).contains(&x) {
            let text = name(&ordered.columns, column);
            let place = egui::pos2(x, frame.bottom() + 4.0);
            ui.painter().text(place, Align2::CENTER_TOP, text, font.clone(), theme.ink_soft);
        }
    }
}

/// Round places from `low` to `high`, about as many as wanted, whole cells apart.
fn places(low: f64, high: f64, wanted: f64) -> Vec<usize> {
    let (values, _) = ticks(low, high, (wanted.max(1.0) as usize).min((high - low).ceil() as usize).max(1));
    let mut places: Vec<usize> =
        values.into_iter().filter(|value| value.fract() == 0.0 && *value >= 0.0).map(|value| value as usize).collect();
    places.dedup();
    places
}

/// Density of the rows in view at the right, of the columns below.
fn profiles(app: &App, ui: &egui::Ui, frame: egui::Rect, window: Window, ordered: &Ordered) {
    let theme = &app.theme;
    let font = egui::FontId::new(11.0, egui::FontFamily::Proportional);
    let right =
        egui::Rect::from_min_size(frame.right_top() + egui::vec2(GAP, 0.0), egui::vec2(DENSITIES, frame.height()));
    let below = egui::Rect::from_min_size(
        frame.left_bottom() + egui::vec2(0.0, COLUMN_NAMES - 12.0),
        egui::vec2(frame.width(), DENSITIES - 8.0),
    );
    for rect in [right, below] {
        ui.painter().rect_filled(rect, 0.0, theme.card);
    }
    let bar = theme.exact;
    let over = |densities: &[f64], low: f64, high: f64, pixels: usize, draw: &mut dyn FnMut(usize, f32)| {
        for pixel in 0..pixels {
            let at = |pixel: usize| low + (high - low) * pixel as f64 / pixels as f64;
            let first = (at(pixel) as usize).min(densities.len() - 1);
            let end = (at(pixel + 1) as usize).clamp(first + 1, densities.len());
            // A sample of what a pixel covers: at most eight lines of it.
            let step = (end - first).div_ceil(8);
            let (mut sum, mut lines) = (0.0, 0);
            for line in (first..end).step_by(step) {
                sum += densities[line];
                lines += 1;
            }
            draw(pixel, (sum / f64::from(lines)) as f32);
        }
    };
    let mut mesh = egui::Mesh::default();
    over(&ordered.row_densities, window.top, window.bottom, frame.height() as usize, &mut |pixel, density| {
        let y = frame.top() + pixel as f32;
        let end = egui::pos2(right.left() + density * right.width(), y + 1.0);
        mesh.add_colored_rect(egui::Rect::from_min_max(egui::pos2(right.left(), y), end), bar);
    });
    over(&ordered.column_densities, window.left, window.right, frame.width() as usize, &mut |pixel, density| {
        let x = frame.left() + pixel as f32;
        let start = egui::pos2(x, below.bottom() - density * below.height());
        mesh.add_colored_rect(egui::Rect::from_min_max(start, egui::pos2(x + 1.0, below.bottom())), bar);
    });
    ui.painter().add(mesh);
    let text = "density of rows";
    ui.painter().text(
        right.center_bottom() + egui::vec2(0.0, 18.0),
        Align2::CENTER_TOP,
        text,
        font.clone(),
        theme.ink_soft,
    );
    let place = below.right_bottom() + egui::vec2(GAP, 0.0);
    ui.painter().text(place, Align2::LEFT_BOTTOM, "density of\ncolumns", font, theme.ink_soft);
}

/// Tells the cell under the pointer, or how dense what is there is.
fn tell_cell(response: &egui::Response, frame: egui::Rect, window: Window, ordered: &Ordered, analysis: &Analysis) {
    let Some(pointer) = response.hover_pos().filter(|_| !response.dragged()) else { return };
    let share = |at: f32, low: f32, size: f32| f64::from((at - low) / size).clamp(0.0, 1.0);
    let row = window.top + share(pointer.y, frame.top(), frame.height()) * (window.bottom - window.top);
    let column = window.left + share(pointer.x, frame.left(), frame.width()) * (window.right - window.left);
    let (row, column) = (row as usize, column as usize);
    if row >= ordered.rows.len() || column >= ordered.columns.len() {
        return;
    }
    let state = if ordered.by_row.get(row, column) { "not zero" } else { "zero" };
    let nearest: Vec<String> = analysis
        .pairs
        .nearest
        .of(ordered.columns[column] as usize)
        .take(3)
        .map(|(other, distance)| {
            format!("{} ({:.3})", count(other as usize), f64::from(distance) / analysis.mask.rows() as f64)
        })
        .collect();
    response.clone().on_hover_text_at_pointer(format!(
        "row {}, column {}: {state}\ndensity of the row {:.3}, of the column {:.3}\nnearest columns: {}",
        count(ordered.rows[row] as usize),
        count(ordered.columns[column] as usize),
        ordered.row_densities[row],
        ordered.column_densities[column],
        if nearest.is_empty() { "none".to_owned() } else { nearest.join(", ") },
    ));
}
