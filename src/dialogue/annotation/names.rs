//! Names that tell the recordings of one file apart.

use std::collections::HashMap;

use super::Recording;

/// Names for the recordings of one file: the video's; where several are of one video (ProAssist has
/// a dialogue with each kind of user, and clips) also the user's, and where that is not enough the
/// clip's number.
pub fn names<'a>(recordings: impl Iterator<Item = &'a Recording> + Clone) -> Vec<String> {
    let by_user = |r: &Recording| format!("{}.{}", r.id, r.user_id.as_deref().unwrap_or("user"));
    let count = |names: &mut dyn Iterator<Item = String>| {
        names.fold(HashMap::<String, usize>::new(), |mut counts, name| {
            *counts.entry(name).or_default() += 1;
            counts
        })
    };
    let videos = count(&mut recordings.clone().map(|r| r.id.clone()));
    let users = count(&mut recordings.clone().map(by_user));
    let name = |r: &Recording| match by_user(r) {
        _ if videos[&r.id] == 1 => r.id.clone(),
        name if users[&name] == 1 => name,
        name => format!("{name}.{}", r.clip_idx),
    };
    recordings.clone().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialogues_about_one_video_have_names_of_their_own() {
        let of = |id: &str, user: Option<&str>, clip_idx| Recording {
            id: id.into(),
            user_id: user.map(Into::into),
            clip_idx,
            ..Recording::default()
        };
        let all = [
            of("v", Some("no_talk_0"), 0),
            of("v", Some("talk_1"), 0),
            of("v", Some("talk_1"), 1),
            of("w", Some("no_talk_0"), 3),
        ];
        assert_eq!(
            names(all.iter()),
            ["v.no_talk_0", "v.talk_1.0", "v.talk_1.1", "w"]
        );
    }
}
