//! Files of `torch.save`: zip archives with a pickle and a record a storage, and the older form, pickles and then the
//! storages one after another.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::Entry;
use super::pickle::{Storage, Unpickled, Value, unpickle};

/// What the older form begins with, as a number.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Values that are looked at in search of tensors, and how deep.
const MOST_VALUES: usize = 1_000_000;
const MOST_DEPTH: usize = 64;
/// Bytes of a tensor's name.
const MOST_NAME: usize = 4096;

/// The tensors of a zip archive.
///
/// # Errors
/// What is wrong, in words.
pub fn zip_entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
        format!("is a damaged zip archive ({error}), probably cut off ({} bytes). Copy or save it again", bytes.len())
    })?;
    let mut records: HashMap<String, Range<usize>> = HashMap::new();
    for index in 0..archive.len() {
        let record = archive.by_index_raw(index).map_err(|error| format!("has a damaged record {index}: {error}"))?;
        let name = record.name().map_err(|error| format!("has a record without a name: {error}"))?.into_owned();
        if record.compression() != CompressionMethod::Stored {
            return Err(format!(
                "its record {name} is compressed, which torch never does. Unpack it and save it with torch"
            ));
        }
        let start = record.data_start().and_then(|start| usize::try_from(start).ok());
        let range = start.zip(usize::try_from(record.size()).ok()).and_then(|(start, size)| {
            let end = start.checked_add(size)?;
            (end <= bytes.len()).then_some(start..end)
        });
        let range = range
            .ok_or_else(|| format!("its record {name} reaches beyond the end of the file. Copy or save it again"))?;
        records.insert(name, range);
    }
    if records.keys().any(|name| name.ends_with(".npy")) {
        return Err("is a .npz archive. Save the one array that is meant (numpy.save(name, archive['…']))".to_owned());
    }
    // The first by name, should there be several.
    let pickle = records.keys().filter(|name| name.ends_with("/data.pkl") || *name == "data.pkl").min();
    let pickle = pickle.ok_or("is a zip archive without data.pkl, so torch.save did not write it")?.clone();
    let folder = &pickle[..pickle.len() - "data.pkl".len()];
    if let Some(order) = records.get(&format!("{folder}byteorder"))
        && bytes[order.clone()] != *b"little"
    {
        return Err("was saved on a big-endian machine, which is not read. Load and save it with torch".to_owned());
    }
    let found = unpickle(&bytes[records[&pickle].clone()])?;
    let place = |storage: &Storage| {
        if storage.start != 0 {
            return Err(format!(
                "its storage {} is a part of another, which torch never writes in this form",
                storage.key
            ));
        }
        let name = format!("{folder}data/{}", storage.key);
        records.get(&name).cloned().ok_or_else(|| format!("its record {name} is missing. Copy or save it again"))
    };
    entries(&found, place)
}

/// The tensors of the older form.
///
/// # Errors
/// What is wrong, in words.
pub fn legacy_entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut at = 0;
    let mut next = || {
        let found = unpickle(&bytes[at..])?;
        at += found.length;
        Ok::<_, String>(found)
    };
    let magic = next()?;
    if !matches!(magic.top, Value::Int(MAGIC)) {
        return Err("is a pickle, but not one of torch.save. Save the weights with torch.save".to_owned());
    }
    if !matches!(next()?.top, Value::Int(PROTOCOL)) {
        return Err("was written by an unknown version of torch.save".to_owned());
    }
    let system = next()?;
    if let Value::Dict(dict) = system.top {
        let is_little = |(key, value): &(Value, Value)| !matches!((key, value), (Value::Text(key), Value::Bool(false)) if &**key == "little_endian");
        if !system.dicts[dict].iter().all(is_little) {
            return Err("was saved on a big-endian machine, which is not read. Load and save it with torch".to_owned());
        }
    }
    let found = next()?;
    let keys = next()?;
    let Value::List(keys_list) = keys.top else { return Err("does not tell its storages".to_owned()) };
    let mut records: HashMap<&str, Range<usize>> = HashMap::new();
    let elements: HashMap<&str, _> = found.storages.iter().map(|storage| (&*storage.key, storage.element)).collect();
    for key in &keys.lists[keys_list] {
        let Value::Text(key) = key else { return Err("has a storage without a name".to_owned()) };
        let element = elements.get(&**key).copied().flatten();
        let Some(element) = element else { return Err(format!("has a storage {key} of unknown kind")) };
        let count = bytes.get(at..at + 8).ok_or("is cut off before its weights end. Copy or save it again")?;
        let count = u64::from_le_bytes(count.as_chunks().0[0]);
        at += 8;
        let size = usize::try_from(count).ok().and_then(|count| count.checked_mul(element.bytes));
        let end = size.and_then(|size| at.checked_add(size)).filter(|&end| end <= bytes.len());
        let end = end.ok_or_else(|| {
            format!(
                "is cut off: its storage {key} should have {count} elements of {} bytes, {} bytes are left. Copy or \
                 save it again",
                element.bytes,
                bytes.len() - at
            )
        })?;
        records.insert(key, at..end);
        at = end;
    }
    let place = |storage: &Storage| {
        let range =
            records.get(&*storage.key).cloned().ok_or_else(|| format!("its storage {} is missing", storage.key))?;
        let skipped = storage.element.map_or(1, |element| element.bytes as u64).checked_mul(storage.start);
        let start = skipped
            .and_then(|skipped| usize::try_from(skipped).ok())
            .and_then(|skipped| range.start.checked_add(skipped));
        let start = start.filter(|&start| start <= range.end);
        start.map(|start| start..range.end).ok_or_else(|| format!("its storage {} begins beyond its end", storage.key))
    };
    entries(&found, place)
}

/// The tensors that can be reached, named by where they are.
fn entries(found: &Unpickled, place: impl Fn(&Storage) -> Result<Range<usize>, String>) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut open = vec![(String::new(), &found.top, 0)];
    let mut looked_at = 0;
    let named = |path: &str, key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    // Names are only made of what can hold weights.
    let may_hold =
        |value: &Value| matches!(value, Value::Tensor(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_));
    while let Some((path, value, depth)) = open.pop() {
        looked_at += match value {
            Value::List(list) => found.lists[*list].len(),
            Value::Tuple(tuple) => found.tuples[*tuple].len(),
            Value::Dict(dict) => found.dicts[*dict].len(),
            _ => 1,
        };
        if looked_at > MOST_VALUES || depth > MOST_DEPTH {
            return Err("holds values nested too deeply or too many times to be weights".to_owned());
        }
        if path.len() > MOST_NAME {
            return Err(format!("has names of more than {MOST_NAME} bytes"));
        }
        match value {
            Value::Tensor(tensor) => {
                let tensor = &found.tensors[*tensor];
                let storage = &found.storages[tensor.storage];
                entries.push(Entry {
                    key: path,
                    element: Ok(tensor.element),
                    is_big_endian: false,
                    shape: tensor.shape.clone(),
                    offset: tensor.offset,
                    steps: tensor.steps.clone(),
                    bytes: place(storage)?,
                });
            }
            Value::List(list) | Value::Tuple(list) => {
                let values = if matches!(value, Value::List(_)) { &found.lists[*list] } else { &found.tuples[*list] };
                // Last in, first out: so that what comes first is named first.
                for (index, value) in values.iter().enumerate().rev().filter(|(_, value)| may_hold(value)) {
                    open.push((named(&path, &index.to_string()), value, depth + 1));
                }
            }
            Value::Dict(dict) => {
                for (key, value) in found.dicts[*dict].iter().rev().filter(|(_, value)| may_hold(value)) {
                    let key = match key {
                        Value::Text(key) if key.len() > MOST_NAME => {
                            return Err(format!("has names of more than {MOST_NAME} bytes"));
                        }
                        Value::Text(key) => key.to_string(),
                        Value::Int(key) => key.to_string(),
                        _ => continue,
                    };
                    open.push((named(&path, &key), value, depth + 1));
                }
            }
            _ => {}
        }
    }
    Ok(entries)
}
