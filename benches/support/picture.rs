//! The look that the pictures have in common, on a light page and on a dark one.

/// The style of text, page and grid; `light` and `dark` are what a picture adds,
/// the second where the reader's page is dark.
pub(crate) fn style(light: &str, dark: &str) -> String {
    format!(
        "
  text {{ font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #24292f }}
  .page {{ fill: #ffffff }}
  .title {{ font-size: 17px; font-weight: 600 }}
  .group {{ font-weight: 600 }}
  .note, .tick, .value {{ fill: #57606a; font-size: 12px }}
  .grid {{ stroke: #d8dee4; stroke-width: 1 }}
{light}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3 }}
    .page {{ fill: #0d1117 }}
    .note, .tick, .value {{ fill: #9aa4af }}
    .grid {{ stroke: #30363d }}
{dark}
  }}
"
    )
}
