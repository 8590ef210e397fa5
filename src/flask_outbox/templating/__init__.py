"""Mail templates: an app's own Jinja templates, rendered as mail.

- `templates`: `MailTemplates`, which renders them
- `files`: which files a template is made of, by name and language
- `environment`: Jinja as the app has it, and what is different in mail
- `sources`: all sources of a template, and their version
- `faults`: what goes wrong, with the template and the line
- `waiting`: what a template may be given that is rendered later
- `speaking`: the language
- `links`, `images`: ``url_for`` and ``mail_image`` in mail
- `styles`, `texts`: CSS in its elements, and a text made of HTML
- `extras`: the libraries for these two, where they are installed
"""

from .templates import MailTemplates

__all__ = ["MailTemplates"]
