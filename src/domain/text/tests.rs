use super::*;

#[test]
fn a_detail_is_cut_between_characters_and_holds_no_nul() {
    assert_eq!(truncate_detail("sold\0out"), "sold\u{fffd}out");
    assert_eq!(truncate_detail(&"ä".repeat(1_001)), "ä".repeat(1_000));
}

#[test]
fn a_correlation_id_is_cut_between_characters_and_holds_no_nul() {
    assert_eq!(correlation_id(""), None);
    assert_eq!(correlation_id("basket\0no"), Some("basket\u{fffd}no".to_owned()));
    assert_eq!(correlation_id(&"😀".repeat(257)), Some("😀".repeat(256)));
}

/// Characters, and how a terminal is to see them.
const HIDDEN: [(char, &str); 22] = [
    ('\0', "\\u{0}"),
    ('\u{7}', "\\u{7}"),
    ('\u{8}', "\\u{8}"),
    ('\r', "\\r"),
    ('\u{1b}', "\\u{1b}"),
    ('\u{7f}', "\\u{7f}"),
    ('\u{85}', "\\u{85}"),
    ('\u{9b}', "\\u{9b}"),
    ('\u{ad}', "\\u{ad}"),
    ('\u{61c}', "\\u{61c}"),
    ('\u{115f}', "\\u{115f}"),
    ('\u{200b}', "\\u{200b}"),
    ('\u{200f}', "\\u{200f}"),
    ('\u{2028}', "\\u{2028}"),
    ('\u{2029}', "\\u{2029}"),
    ('\u{202e}', "\\u{202e}"),
    ('\u{2060}', "\\u{2060}"),
    ('\u{2066}', "\\u{2066}"),
    ('\u{2069}', "\\u{2069}"),
    ('\u{feff}', "\\u{feff}"),
    ('\u{fff9}', "\\u{fff9}"),
    ('\u{e0041}', "\\u{e0041}"),
];

#[test]
fn what_a_terminal_would_act_on_is_spelled_out() {
    for (character, shown) in HIDDEN {
        let text = format!("a{character}b");
        assert_eq!(line(&text), format!("a{shown}b"));
        assert_eq!(lines(&text), format!("a{shown}b"));
    }
    assert_eq!(line("one\ntwo\tthree"), "one\\ntwo\\tthree");
    assert_eq!(lines("one\ntwo\tthree"), "one\ntwo\tthree");
}

#[test]
fn what_people_write_stays() {
    for text in [
        "Größe 5 – “blau” 😀",
        "ﺎﻠﻋﺮﺒﻳﺓ",
        "שלום",
        "می\u{200c}خواهم",
        "👩\u{200d}🔬 ❤\u{fe0f}",
        "e\u{301}",
        "C:\\new\\u{1b}",
    ] {
        assert_eq!(line(text), text);
        assert_eq!(json(text), text);
    }
}

#[test]
fn escaping_twice_is_escaping_once() {
    for (character, _) in HIDDEN {
        let once = line(&character.to_string()).into_owned();
        assert_eq!(line(&once), once);
    }
}

#[test]
fn json_means_the_same_and_holds_none_of_them() {
    for (character, _) in HIDDEN {
        let text = serde_json::to_string(&format!("a\\{character}\"b\n")).unwrap();
        let shown = json(&text);
        assert!(!shown.contains(is_hidden), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), format!("a\\{character}\"b\n"));
    }
}

#[test]
fn a_line_of_a_json_log_holds_none_of_them_even_when_it_is_decoded() {
    for (character, shown) in HIDDEN {
        let text = format!("C:\\u001b \"{character}\" \\{character}\\");
        let line = format!("{{\"a\":{}}}\n", serde_json::to_string(&text).unwrap());
        let decoded: serde_json::Value = serde_json::from_str(&json_log(&line)).unwrap();
        assert_eq!(decoded["a"], format!("C:\\u001b \"{shown}\" \\{shown}\\"));
    }
    let kept = "{\"a\":\"\\u00e4 \\\\n \\n\\t \\ud83d\\ude00\"}\n";
    assert_eq!(json_log(kept), kept);
}

#[test]
fn no_bytes_make_a_line_of_a_json_log_fail() {
    for broken in ["\\", "\\u", "\\u1", "\\u00", "\\u00ä", "\\uzzzz", "\\ud800", "\"\\"] {
        json_log(broken);
    }
}

#[test]
fn a_cell_that_begins_a_formula_is_text() {
    for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠A"] {
        assert_eq!(cell(formula), format!("'{formula}"));
    }
    for text in ["", "1", "a=b", "'=1", " =1", "Cup - blue"] {
        assert_eq!(cell(text), text);
    }
}
