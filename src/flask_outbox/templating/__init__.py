"""Mail templates: an app's own Jinja templates, rendered as mail.

- `message`: `Message`, composed from templates
- `templates`: `MailTemplates`, which renders them, and the Jinja environment for mail
- `loader`: the files of a template, in its mail's locale, and its version
- `render`: renders a template's files; errors name the template and the line
- `mjml`: MJML, compiled to HTML
- `html`: links, images and CSS in mail
"""

from .message import Message, message_of_row

__all__ = ["Message", "message_of_row"]
