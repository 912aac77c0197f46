//! `completions` and `man`: what the command line has, for shells and for readers.

use clap_mangen::Man;

use super::answer;
use super::arguments::command_tree;
use crate::error::{Error, ErrorKind, Result};

#[inline(never)]
pub(super) fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_tree(), "apigee-credential", &mut script);
    answer(&String::from_utf8_lossy(&script))
}

/// One page with a section for each command.
#[inline(never)]
pub(super) fn man() -> Result<()> {
    let mut page = Vec::new();
    let mut tree = command_tree();
    tree.build();
    render(&tree, &mut page).map_err(|e| Error::new(ErrorKind::Unexpected, format!("cannot make the page: {e}")))?;
    answer(&String::from_utf8_lossy(&page))
}

fn render(tree: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let whole = Man::new(tree.clone());
    whole.render_title(page)?;
    whole.render_name_section(page)?;
    whole.render_synopsis_section(page)?;
    whole.render_description_section(page)?;
    whole.render_options_section(page)?;
    for command in tree.get_subcommands() {
        let mut section = Vec::new();
        // The global options have been told.
        let man = Man::new(command.clone().mut_args(|a| if a.is_global_set() { a.hide(true) } else { a }));
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        // What is a section of its own page is a part of this one's.
        let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        page.extend(format!(".SH {}\n{section}", command.get_name().to_uppercase()).bytes());
    }
    whole.render_extra_section(page)?;
    whole.render_version_section(page)
}
