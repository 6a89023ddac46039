//! docs/GETTING_STARTED.md, typed as it stands there, by somebody who may use `sudo`, on a machine on which nothing runs yet.

use std::path::Path;
use std::process::Command;

use crate::support::pages::{Page, assert_shaped_like};

/// What `make test` can't do in its time is to download and unpack: there, `apt-get` starts what is installed already, as the
/// packages' own scripts do. scripts/check-getting-started.sh leaves nothing out.
const MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/book/clean_machine.sh");

/// From nothing to an order that is fulfilled, the page promises at most so many.
const MOST_COMMANDS: usize = 5;

/// Caught, when seeded: a wrong socket folder, a role of another name, `submit` without `-`, and a sixth command.
#[test]
fn an_order_is_fulfilled_on_a_clean_machine() {
    let mut page = Page::of("docs/GETTING_STARTED.md", "an_order_is_fulfilled_on_a_clean_machine");
    let [install, tables, run, submit, look, clean_up] = [(); 6].map(|()| page.next());
    let commands: usize = [&install, &tables, &run, &submit].iter().map(|block| block.commands().len()).sum();
    assert!(commands <= MOST_COMMANDS, "{commands} commands until an order is fulfilled");

    // Root is in a machine of its own where it may make one; nothing of this can be tried elsewhere.
    let unshare = ["--net", "--mount", "--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("not tried: this user may not make a machine of its own (unshare)");
        return;
    }
    let script = format!(
        "set -euo pipefail\n{}\n{}\n{} &\nworker=$!\necho = submit\n{}\n\
         for _ in $(seq 600); do if [ \"$(psql -qtAXc 'SELECT status FROM orders' orders)\" = fulfilled ]; then break; fi; \
         sleep 0.1; done\n\
         echo = look\n{}\nkill $worker\nwait $worker\necho = clean up\n{}",
        install.text(),
        tables.text(),
        run.text().trim_end(),
        submit.text(),
        look.text(),
        clean_up.text()
    );
    let mut machine = Command::new("timeout");
    machine.args(["--kill-after=5", "300", "unshare"]).args(unshare).arg(MACHINE);
    machine.arg(Path::new(env!("CARGO_BIN_EXE_fulfillment-worker"))).args(["bash", "-c", &script]);
    let output = machine.output().expect("unshare");

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let after = |heading| said.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}: {said}")).1;
    assert_shaped_like(submit.shown.as_deref().expect("what `submit` says"), after("= submit\n"));
    let looked = after("= look\n");
    assert!(looked.starts_with("order     1   fulfilled"), "{looked}");
    assert_shaped_like(look.shown.as_deref().expect("a metric"), looked);
    assert_eq!(after("= clean up\n").trim(), "", "something is left in Redis");
}
