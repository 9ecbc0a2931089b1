//! What a login's question asks for. PAM says only how an answer is typed, so the words of the prompt have to tell.

/// What a prompt asks for, by its words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// A one-time code: of an app, a token or a message. A password must not be given to its module.
    Code,
    /// The person's password.
    Password,
    /// Neither for sure: other words, another language, or a new password.
    Unknown,
}

/// Words that stand in questions for a code only. Compared with whole words.
const CODE_WORDS: [&str; 35] = [
    "2fa",
    "captcha",
    "code",
    "codes",
    "codice",
    "código",
    "codigo",
    "duo",
    "einmalcode",
    "engangskode",
    "engångskod",
    "factor",
    "hotp",
    "kod",
    "kód",
    "kode",
    "koodi",
    "mfa",
    "otp",
    "passcode",
    "pin",
    "prüfcode",
    "sicherheitscode",
    "sms",
    "token",
    "tokencode",
    "totp",
    "verification",
    "verifizierungscode",
    "verifizierung",
    "yubikey",
    "код",
    "код-пароль",
    "pincode",
    "bestätigungscode",
];
/// Phrases of the same: the word for a password may be part of them.
const CODE_PHRASES: [&str; 18] = [
    "einmalpass",
    "einmalkenn",
    "one-time",
    "one time",
    "onetime",
    "single-use",
    "usage unique",
    "un solo uso",
    "uso único",
    "uso unico",
    "одноразовый",
    "验证码",
    "驗證碼",
    "一次性",
    "確認コード",
    "認証コード",
    "ワンタイム",
    "인증",
];
/// What a question for a password holds, in the languages of Linux-PAM and of the directories' modules.
const PASSWORD_PARTS: [&str; 34] = [
    "passw",
    "passphrase",
    "kennwort",
    "mot de passe",
    "contraseña",
    "contrasenya",
    "contrasinal",
    "senha",
    "parola",
    "hasło",
    "heslo",
    "wachtwoord",
    "lösenord",
    "adgangskode",
    "passord",
    "salasana",
    "jelszó",
    "geslo",
    "lozinka",
    "лозинка",
    "пароль",
    "парола",
    "şifre",
    "slaptažod",
    "parool",
    "lykilorð",
    "κωδικός πρόσβασης",
    "סיסמ",
    "كلمة",
    "密码",
    "密碼",
    "口令",
    "パスワード",
    "암호",
];
/// Words by which a question is for a password to come, of which there are two: the new one, and the same again.
const NEW_WORDS: [&str; 20] = [
    "new",
    "retype",
    "repeat",
    "confirm",
    "again",
    "neues",
    "nouveau",
    "nueva",
    "nuevo",
    "nova",
    "nuova",
    "nieuw",
    "nowe",
    "nové",
    "nytt",
    "ny",
    "uusi",
    "новый",
    "新的",
    "新しい",
];

impl Asked {
    /// What a prompt with this text asks for.
    #[must_use]
    pub fn by(text: &str) -> Self {
        let text = text.to_lowercase();
        let words: Vec<&str> = words(&text).collect();
        let has = |some: &[&str]| words.iter().any(|word| some.contains(word));
        let is_password = PASSWORD_PARTS.iter().any(|part| text.contains(part));
        // SSSD asks for the two factors so, and the first one is the password.
        if has(&["factor"]) && has(&["first"]) {
            return Self::Password;
        }
        if CODE_PHRASES.iter().any(|phrase| text.contains(phrase)) {
            return Self::Code;
        }
        match (has(&CODE_WORDS), is_password) {
            // "Password & verification code": one answer with both in it, as people type it into the form.
            (true, true) => Self::Unknown,
            (true, false) => Self::Code,
            (false, true) if !has(&NEW_WORDS) => Self::Password,
            (false, _) => Self::Unknown,
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '-').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn w7_a_question_for_a_code_is_told_from_one_for_a_password() {
        let all = [
            (
                Asked::Code,
                &[
                    "Verification code: ",
                    "One-time password (OATH) for `bob': ",
                    "One-Time Password: ",
                    "OTP: ",
                    "Enter PASSCODE:",
                    "Passcode or option (1-2): ",
                    "Second Factor (optional): ",
                    "Enter your token: ",
                    "Enter PIN:",
                    "YubiKey for `bob': ",
                    "(bob) Code: ",
                    "Enter MFA response",
                    "Prüfcode: ",
                    "Einmalpasswort: ",
                    "Code de vérification : ",
                    "Mot de passe à usage unique : ",
                    "Contraseña de un solo uso: ",
                    "Código de verificación: ",
                    "Codice di verifica: ",
                    "Код подтверждения: ",
                    "Одноразовый пароль: ",
                    "验证码：",
                    "一次性密码：",
                    "ワンタイムパスワード: ",
                ][..],
            ),
            (
                Asked::Password,
                &[
                    "Password: ",
                    "password:",
                    "LDAP Password: ",
                    "(current) UNIX password: ",
                    "bob's password: ",
                    "Password for bob@EXAMPLE: ",
                    "First Factor: ",
                    "Passwort: ",
                    "Kennwort: ",
                    "Mot de passe : ",
                    "Contraseña: ",
                    "Senha: ",
                    "Parola: ",
                    "Hasło: ",
                    "Heslo: ",
                    "Wachtwoord: ",
                    "Lösenord: ",
                    "Adgangskode: ",
                    "Salasana: ",
                    "Jelszó: ",
                    "Пароль: ",
                    "密码：",
                    "パスワード: ",
                    "암호: ",
                ],
            ),
            (
                Asked::Unknown,
                &[
                    "",
                    "Badge: ",
                    "Answer: ",
                    "New password: ",
                    "Retype new password: ",
                    "Password & verification code: ",
                    "Name of your first pet: ",
                    "Spinning wheel: ",
                    "Response: ",
                ],
            ),
        ];
        for (asked, texts) in all {
            for text in texts {
                assert_eq!(Asked::by(text), asked, "{text:?}");
            }
        }
    }
}
