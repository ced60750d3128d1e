//! Enough of a shell's grammar to find the calls of the program in an example. It expands nothing.

/// A call: its words, the name of the program first.
pub type Call = Vec<String>;

/// Words after which a command follows.
const BEFORE: &[&str] = &[
    "!", "if", "then", "else", "elif", "while", "until", "do", "exec", "time", "nohup", "{",
];

/// Every simple command of a script, without redirections and bodies of here-documents.
pub fn calls(script: &str) -> Vec<Call> {
    let mut reader = Reader {
        chars: script.chars().collect(),
        at: 0,
        calls: Vec::new(),
        bodies: Vec::new(),
    };
    reader.list(false);
    reader.calls
}

/// The words of the calls of `bailiwick` in a script.
pub fn of_bailiwick(script: &str) -> Vec<Call> {
    calls(script).into_iter().filter_map(bailiwick).collect()
}

fn bailiwick(mut call: Call) -> Option<Call> {
    loop {
        let first = call.first()?.as_str();
        let assignment = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        if assignment || BEFORE.contains(&first) {
            call.remove(0);
        } else if first == "sudo" {
            call.remove(0);
            while let Some(option) = call.first().filter(|word| word.starts_with('-')) {
                let takes_value = ["-u", "-g"].contains(&option.as_str());
                call.remove(0);
                if takes_value {
                    call.remove(0);
                }
            }
        } else {
            break;
        }
    }
    let name = call.first()?.rsplit('/').next()?;
    (name == "bailiwick").then(|| {
        call[0] = "bailiwick".to_owned();
        call
    })
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    calls: Vec<Call>,
    /// Delimiters of here-documents whose bodies begin at the next line.
    bodies: Vec<String>,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    /// Commands until the end, or until the parenthesis that closes a substitution.
    fn list(&mut self, inside: bool) {
        let mut call = Call::new();
        while let Some(c) = self.peek() {
            match c {
                ')' if inside => {
                    self.at += 1;
                    break;
                }
                '\n' => {
                    self.at += 1;
                    self.end(&mut call);
                    self.skip_bodies();
                }
                ';' | '|' | '&' | '(' | ')' => {
                    self.at += 1;
                    self.end(&mut call);
                }
                ' ' | '\t' => self.at += 1,
                '\\' if self.chars.get(self.at + 1) == Some(&'\n') => self.at += 2,
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                '<' | '>' => self.redirection(),
                _ => {
                    let word = self.word();
                    // `2>file`: the number is the redirection's.
                    let number = word.chars().all(|c| c.is_ascii_digit());
                    if !(number && matches!(self.peek(), Some('<' | '>'))) {
                        call.push(word);
                    }
                }
            }
        }
        self.end(&mut call);
    }

    fn end(&mut self, call: &mut Call) {
        if !call.is_empty() {
            self.calls.push(std::mem::take(call));
        }
    }

    fn redirection(&mut self) {
        let mut sign = String::new();
        while let Some(c @ ('<' | '>' | '&')) = self.peek() {
            sign.push(c);
            self.at += 1;
        }
        if self.peek() == Some('-') && sign == "<<" {
            self.at += 1;
        }
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
        let target = self.word();
        if sign == "<<" {
            self.bodies.push(target);
        }
    }

    /// Leaves out the bodies of here-documents.
    fn skip_bodies(&mut self) {
        for delimiter in std::mem::take(&mut self.bodies) {
            loop {
                let line: String = self.chars[self.at..]
                    .iter()
                    .take_while(|c| **c != '\n')
                    .collect();
                assert!(
                    self.at < self.chars.len(),
                    "the here-document `{delimiter}` has no end"
                );
                self.at = (self.at + line.chars().count() + 1).min(self.chars.len());
                if line.trim() == delimiter {
                    break;
                }
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    self.at += 1;
                    while let Some(c) = self.next().filter(|c| *c != '\'') {
                        word.push(c);
                    }
                }
                '"' => {
                    self.at += 1;
                    self.quoted(&mut word);
                }
                '\\' => {
                    self.at += 1;
                    word.extend(self.next());
                }
                '$' => self.dollar(&mut word),
                c => {
                    self.at += 1;
                    word.push(c);
                }
            }
        }
        word
    }

    fn quoted(&mut self, word: &mut String) {
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    self.at += 1;
                    word.extend(self.next());
                }
                '$' => self.dollar(word),
                c => {
                    self.at += 1;
                    word.push(c);
                }
            }
        }
    }

    /// A variable stays as it is; a substitution becomes a word, and its commands are calls too.
    fn dollar(&mut self, word: &mut String) {
        self.at += 1;
        if self.peek() == Some('(') {
            self.at += 1;
            self.list(true);
            word.push_str("SUBSTITUTED");
        } else {
            word.push('$');
        }
    }
}

#[test]
fn calls_are_found_wherever_they_stand() {
    let script = r#"
mkdir a; cd a   # bailiwick comment
BAILIWICK_CONFIG=x.yaml bailiwick get vm | grep -q web && bailiwick get ct
plan=$(bailiwick get plans | awk '$2 == "waiting" { print $1 }')
bailiwick freeze --reason 'two words' \
  --cluster lab > out.txt 2>&1 &
cat > web.yaml <<'END'
bailiwick not this
END
until bailiwick get documents | grep -q "it's (there)"; do sleep 1; done
sudo -u bailiwick /usr/local/bin/bailiwick run "$plan"
"#;
    let found: Vec<String> = of_bailiwick(script)
        .iter()
        .map(|call| call.join("+"))
        .collect();
    assert_eq!(
        found,
        [
            "bailiwick+get+vm",
            "bailiwick+get+ct",
            "bailiwick+get+plans",
            "bailiwick+freeze+--reason+two words+--cluster+lab",
            "bailiwick+get+documents",
            "bailiwick+run+$plan",
        ]
    );
}
